#include "kernels/ops/augment.h"

#include "kernels/ops/augment_ref.h"

namespace mixop::kernels {
namespace {
void run_augment(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { augment_ref<T>(call); });
}
constexpr Impl kAugment[] = {{"ref", any, run_augment}};
}  // namespace

std::span<const Impl> augment_cpu() { return kAugment; }
}  // namespace mixop::kernels
