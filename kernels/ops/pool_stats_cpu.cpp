#include "kernels/ops/pool_stats.h"
#include "kernels/ops/pool_stats_ref.h"

namespace mixop::kernels {
namespace {

void forward_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_ref<T>(call); });
}
void grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_grad_ref<T>(call); });
}

constexpr Impl kForward[] = {{"ref", any, forward_ref}};
constexpr Impl kGrad[] = {{"ref", any, grad_ref}};
}  // namespace

std::span<const Impl> pool_stats_cpu() { return kForward; }
std::span<const Impl> pool_stats_grad_cpu() { return kGrad; }
}  // namespace mixop::kernels
