#include "kernels/ops/copy.h"

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/ops/copy_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/copy_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
void CopyBlock(const float* x, int64_t ldx, float* y, int64_t ldy, int64_t rows, int64_t last, bool add) {
  copy_block(x, ldx, y, ldy, rows, last, add);
}
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(CopyBlock);
namespace {

void run_rows(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const bool add = y.write == Write::kAdd;
  const bool flat = x.contiguous() && y.contiguous();  // then one long row, split anywhere
  const int64_t rows = flat ? x.shape.elements() : x.rows();
  const int64_t tasks = std::clamp<int64_t>(x.shape.elements() >> 15, 1, rows);
  const auto block = HWY_DYNAMIC_DISPATCH(CopyBlock);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    if (flat) block(x.as<float>() + begin, 0, y.as<float>() + begin, 0, 1, end - begin, add);
    else block(x.as<float>() + begin * x.ld, x.ld, y.as<float>() + begin * y.ld, y.ld, end - begin, x.last(), add);
  });
}

void run_copy_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { copy_ref<T>(call); });
}
/// Calls `copy` for assign: from the second operand to the first.
template <class Copy>
void assign_by(const Call& call, Copy copy) {
  const Out target{call.in[0]};
  copy(Call{call.exec, call.in.subspan(1), {&target, 1}});
}
void run_assign_rows(const Call& call) { assign_by(call, run_rows); }
void run_assign_ref(const Call& call) { assign_by(call, run_copy_ref); }
void run_fill_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { fill_ref<T>(call); });
}

constexpr Impl kCopy[] = {{"rows", all_float32, run_rows}, {"ref", any, run_copy_ref}};
constexpr Impl kFill[] = {{"ref", any, run_fill_ref}};
constexpr Impl kAssign[] = {{"rows", all_float32, run_assign_rows}, {"ref", any, run_assign_ref}};
constexpr Impl kAdvance[] = {{"ref", any, advance_ref}};
}  // namespace

std::span<const Impl> copy_cpu() { return kCopy; }
std::span<const Impl> fill_cpu() { return kFill; }
std::span<const Impl> assign_cpu() { return kAssign; }
std::span<const Impl> advance_cpu() { return kAdvance; }
}  // namespace mixop::kernels
#endif
