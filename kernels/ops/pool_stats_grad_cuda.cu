// pool_stats_grad on CUDA: the gradients of the poolings, with an arriving gradient that is evaluated on load.
#include "kernels/ops/pool_avg_grad.cuh"
#include "kernels/ops/pool_max_grad.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

void grad(const Call& call, bool fast) {
  const auto& a = call.attr<PoolStatsGradAttrs>();
  const bool aligned = aligned4(call.in[0]) && aligned4(call.in[1]);
  if (a.max) launch_max_grad(call, a.pool, call.in[a.x_at()], NormGradient(call), aligned, fast);
  else launch_avg_grad(call, a.pool, a.x, NormGradient(call), aligned, fast);
}
void plain(const Call& call) { grad(call, false); }
void fast(const Call& call) { grad(call, true); }

bool accepts(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<PoolStatsGradAttrs>().pool);
}

constexpr Impl kPoolStatsGrad[] = {{"3x3", accepts, fast}, {"plain", all_float32, plain}};
}  // namespace

std::span<const Impl> pool_stats_grad_cuda() { return kPoolStatsGrad; }
}  // namespace mixop::kernels
