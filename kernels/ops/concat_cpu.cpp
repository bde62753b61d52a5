#include "kernels/ops/concat.h"

#include "kernels/ops/concat_ref.h"

namespace mixop::kernels {
namespace {
void run_concat_axis(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { concat_axis_ref<T>(call); });
}
void run_slice_axis(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { slice_axis_ref<T>(call); });
}
void run_slice_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { slice_grad_ref<T>(call); });
}
constexpr Impl kConcatAxis[] = {{"ref", any, run_concat_axis}};
constexpr Impl kSliceAxis[] = {{"ref", any, run_slice_axis}};
constexpr Impl kSliceGrad[] = {{"ref", any, run_slice_grad}};
}  // namespace

std::span<const Impl> concat_axis_cpu() { return kConcatAxis; }
std::span<const Impl> slice_axis_cpu() { return kSliceAxis; }
std::span<const Impl> slice_grad_cpu() { return kSliceGrad; }
}  // namespace mixop::kernels
