#include "kernels/ops/separable_impls.h"
#include "kernels/ops/separable_ref.h"

namespace mixop::kernels {
namespace {

void run_separable_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { separable_ref<T>(call); });
}
void run_separable_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { separable_grad_ref<T>(call); });
}

}  // namespace

std::span<const Impl> separable_cpu() {
  static const Impl list[] = {kSeparableTiles, {"ref", any, run_separable_ref}};
  return list;
}

std::span<const Impl> separable_grad_cpu() {
  static const Impl list[] = {kSeparableGradTiles, {"ref", any, run_separable_grad_ref}};
  return list;
}

}  // namespace mixop::kernels
