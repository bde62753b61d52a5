#include "kernels/ops/conv2d_impls.h"
#include "kernels/ops/conv2d_ref.h"

namespace mixop::kernels {
namespace {

void run_conv2d_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { conv2d_ref<T>(call); });
}
void run_dgrad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { conv2d_dgrad_ref<T>(call); });
}
void run_wgrad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { conv2d_wgrad_ref<T>(call); });
}

}  // namespace

std::span<const Impl> conv2d_cpu() {
  static const Impl list[] = {kConv2dDepthwise, kConv2dPointwise, kConv2dIm2col, {"ref", any, run_conv2d_ref}};
  return list;
}

std::span<const Impl> conv2d_dgrad_cpu() {
  static const Impl list[] = {
      kConv2dDgradDepthwise, kConv2dDgradPointwise, kConv2dDgradIm2col, {"ref", any, run_dgrad_ref}};
  return list;
}

std::span<const Impl> conv2d_wgrad_cpu() {
  static const Impl list[] = {
      kConv2dWgradDepthwise, kConv2dWgradPointwise, kConv2dWgradIm2col, {"ref", any, run_wgrad_ref}};
  return list;
}

}  // namespace mixop::kernels
