// Pooling on the CPU: what the entries are and how they start the tasks of pool_tasks.h, pool_3x3.h and
// pool_grad_3x3.h.
#include "kernels/ops/pool.h"

#include "kernels/ops/pool_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/pool_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/ops/pool_grad_3x3.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

template <bool kMax>
void RunForward(const Call& call) {
  const PoolPlan plan(call.attr<PoolAttrs>(), call.in[0].shape);
  for_bands(call, plan, plan.height, plan.forward_floats(), [&](int64_t image, Range band, float* scratch) {
    ForwardBand<kMax>(plan, {call.in[0]}, call.out[0], image, band, scratch, [](int64_t) {});
  });
}
void MaxForward(const Call& call) { RunForward<true>(call); }
void AvgForward(const Call& call) { RunForward<false>(call); }

void MaxGrad(const Call& call) {
  const PoolPlan plan(call.attr<PoolAttrs>(), call.in[1].shape);
  for_bands(call, plan, plan.v.size, plan.max_grad_floats(), [&](int64_t image, Range band, float* scratch) {
    MaxGradBand(plan, PlainGradient{plan, call.in[0]}, {call.in[1]}, call.out[0], image, band, scratch);
  });
}

void AvgGrad(const Call& call) {
  const auto& attrs = call.attr<AvgPoolGradAttrs>();
  const PoolPlan plan(attrs.pool, attrs.x);
  for_bands(call, plan, plan.v.size, plan.avg_grad_floats(), [&](int64_t image, Range band, float* scratch) {
    AvgGradBand(plan, PlainGradient{plan, call.in[0]}, call.out[0], image, band, scratch);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(MaxForward);
HWY_EXPORT(AvgForward);
HWY_EXPORT(MaxGrad);
HWY_EXPORT(AvgGrad);
namespace {

void max_pool(const Call& call) { HWY_DYNAMIC_DISPATCH(MaxForward)(call); }
void avg_pool(const Call& call) { HWY_DYNAMIC_DISPATCH(AvgForward)(call); }
void max_pool_grad(const Call& call) { HWY_DYNAMIC_DISPATCH(MaxGrad)(call); }
void avg_pool_grad(const Call& call) { HWY_DYNAMIC_DISPATCH(AvgGrad)(call); }

bool accepts(const Call& call) { return all_float32(call) && PoolPlan::takes(call.attr<PoolAttrs>()); }
bool accepts_avg_grad(const Call& call) {
  return all_float32(call) && PoolPlan::takes(call.attr<AvgPoolGradAttrs>().pool);
}

size_t bytes(const Call& call, int64_t floats) { return call.exec->threads * floats * sizeof(float); }
size_t forward_bytes(const Call& call) {
  return bytes(call, PoolPlan(call.attr<PoolAttrs>(), call.in[0].shape).forward_floats());
}
size_t max_grad_bytes(const Call& call) {
  return bytes(call, PoolPlan(call.attr<PoolAttrs>(), call.in[1].shape).max_grad_floats());
}
size_t avg_grad_bytes(const Call& call) {
  const auto& attrs = call.attr<AvgPoolGradAttrs>();
  return bytes(call, PoolPlan(attrs.pool, attrs.x).avg_grad_floats());
}

void run_max_pool_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { max_pool_ref<T>(call); });
}
void run_max_pool_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { max_pool_grad_ref<T>(call); });
}
void run_max_pool_take_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { max_pool_take_ref<T>(call); });
}
void run_avg_pool_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { avg_pool_ref<T>(call); });
}
void run_avg_pool_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { avg_pool_grad_ref<T>(call); });
}

constexpr Impl kMaxPool[] = {{"separable", accepts, max_pool, forward_bytes}, {"ref", any, run_max_pool_ref}};
constexpr Impl kMaxPoolGrad[] = {{"separable", accepts, max_pool_grad, max_grad_bytes},
                                 {"ref", any, run_max_pool_grad_ref}};
constexpr Impl kMaxPoolTake[] = {{"ref", any, run_max_pool_take_ref}};
constexpr Impl kAvgPool[] = {{"separable", accepts, avg_pool, forward_bytes}, {"ref", any, run_avg_pool_ref}};
constexpr Impl kAvgPoolGrad[] = {{"separable", accepts_avg_grad, avg_pool_grad, avg_grad_bytes},
                                 {"ref", any, run_avg_pool_grad_ref}};
}  // namespace

std::span<const Impl> max_pool_cpu() { return kMaxPool; }
std::span<const Impl> max_pool_grad_cpu() { return kMaxPoolGrad; }
std::span<const Impl> max_pool_take_cpu() { return kMaxPoolTake; }
std::span<const Impl> avg_pool_cpu() { return kAvgPool; }
std::span<const Impl> avg_pool_grad_cpu() { return kAvgPoolGrad; }
}  // namespace mixop::kernels
#endif
