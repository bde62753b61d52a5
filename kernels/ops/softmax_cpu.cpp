#include "kernels/ops/softmax.h"

#include "kernels/ops/softmax_ref.h"

namespace mixop::kernels {
namespace {
template <bool kLog>
void run(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { softmax_ref<T, kLog>(call); });
}
template <bool kLog>
void run_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { softmax_grad_ref<T, kLog>(call); });
}
constexpr Impl kSoftmax[] = {{"ref", any, run<false>}};
constexpr Impl kSoftmaxGrad[] = {{"ref", any, run_grad<false>}};
constexpr Impl kLogSoftmax[] = {{"ref", any, run<true>}};
constexpr Impl kLogSoftmaxGrad[] = {{"ref", any, run_grad<true>}};
}  // namespace

std::span<const Impl> softmax_cpu() { return kSoftmax; }
std::span<const Impl> softmax_grad_cpu() { return kSoftmaxGrad; }
std::span<const Impl> log_softmax_cpu() { return kLogSoftmax; }
std::span<const Impl> log_softmax_grad_cpu() { return kLogSoftmaxGrad; }
}  // namespace mixop::kernels
