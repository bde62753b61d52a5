#include "kernels/ops/cross_entropy.h"

#include "kernels/ops/cross_entropy_ref.h"

namespace mixop::kernels {
namespace {
size_t a_double_a_row(const Call& call) { return static_cast<size_t>(call.in[0].rows()) * sizeof(double); }

void run_hard(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { cross_entropy_ref<T>(call); });
}
void run_hard_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { cross_entropy_grad_ref<T>(call); });
}
void run_soft(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { cross_entropy_soft_ref<T>(call); });
}
void run_soft_grad(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { cross_entropy_soft_grad_ref<T>(call); });
}
void run_top_k(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { top_k_ref<T>(call); });
}
constexpr Impl kHard[] = {{"ref", any, run_hard, a_double_a_row}};
constexpr Impl kHardGrad[] = {{"ref", any, run_hard_grad}};
constexpr Impl kSoft[] = {{"ref", any, run_soft, a_double_a_row}};
constexpr Impl kSoftGrad[] = {{"ref", any, run_soft_grad}};
constexpr Impl kTopK[] = {{"ref", any, run_top_k}};
}  // namespace

std::span<const Impl> cross_entropy_cpu() { return kHard; }
std::span<const Impl> cross_entropy_grad_cpu() { return kHardGrad; }
std::span<const Impl> cross_entropy_soft_cpu() { return kSoft; }
std::span<const Impl> cross_entropy_soft_grad_cpu() { return kSoftGrad; }
std::span<const Impl> cross_entropy_soft_target_grad_cpu() { return kSoftGrad; }
std::span<const Impl> top_k_cpu() { return kTopK; }
}  // namespace mixop::kernels
