#include "kernels/ops/pool_max_grad.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

void grad(const Call& call, bool tiles) {
  const View& dy = call.in[0];
  launch_max_grad(call, call.attr<PoolAttrs>(), call.in[1], PlainGradient(dy), aligned4(dy), tiles);
}
void plain(const Call& call) { grad(call, false); }
void tiled(const Call& call) { grad(call, true); }

bool accepts(const Call& call) {
  return all_float32(call) && call.in[1].last() % 4 == 0 && is_3x3(call.attr<PoolAttrs>());
}

constexpr Impl kMaxPoolGrad[] = {{"3x3", accepts, tiled}, {"plain", all_float32, plain}};
}  // namespace

std::span<const Impl> max_pool_grad_cuda() { return kMaxPoolGrad; }
}  // namespace mixop::kernels
