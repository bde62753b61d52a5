#include "kernels/ops/gumbel_softmax.h"

#include "kernels/ops/gumbel_softmax_ref.h"

namespace mixop::kernels {
namespace {
void run(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { gumbel_softmax_ref<T>(call); });
}
void run_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { gumbel_softmax_grad_ref<T>(call); });
}
constexpr Impl kGumbelSoftmax[] = {{"ref", any, run}};
constexpr Impl kGumbelSoftmaxGrad[] = {{"ref", any, run_grad}};
}  // namespace

std::span<const Impl> gumbel_softmax_cpu() { return kGumbelSoftmax; }
std::span<const Impl> gumbel_softmax_grad_cpu() { return kGumbelSoftmaxGrad; }
}  // namespace mixop::kernels
