#include "kernels/ops/reduce.h"

#include "kernels/ops/reduce_ref.h"

namespace mixop::kernels {
namespace {
void run_reduce(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { reduce_ref<T>(call); });
}
void run_reduce_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { reduce_grad_ref<T>(call); });
}
constexpr Impl kReduce[] = {{"ref", any, run_reduce}};
constexpr Impl kReduceGrad[] = {{"ref", any, run_reduce_grad}};
}  // namespace

std::span<const Impl> reduce_cpu() { return kReduce; }
std::span<const Impl> reduce_grad_cpu() { return kReduceGrad; }
}  // namespace mixop::kernels
