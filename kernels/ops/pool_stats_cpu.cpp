// pool_stats on the CPU: the tasks of pool_tasks.h and pool_3x3.h, with statistics of rows that have just been
// made, one partial a task. A task makes its rows of all consecutive units that read the same x, one unit after the
// other, while these rows of x are in a cache.
#include "kernels/ops/pool_stats.h"

#include "kernels/ops/pool_stats_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/pool_stats_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/moments.h"
#include "kernels/ops/pool_3x3.h"

#ifndef MIXOP_KERNELS_OPS_POOL_STATS_CPU_ONCE
#define MIXOP_KERNELS_OPS_POOL_STATS_CPU_ONCE
#include "kernels/ops/pool_stats_load.h"

namespace mixop::kernels {
namespace {

/// Tasks of a unit: some bands each, one after the other, so that the rows of a task are contiguous.
struct StatsTasks {
  int64_t bands, tasks;
  const PoolPlan& plan;

  explicit StatsTasks(const PoolPlan& p)
      : bands(p.bands(p.height)), tasks(std::min(kMaxPartials, p.images * bands)), plan(p) {}
  Range bands_of(int64_t task) const { return part_of(plan.images * bands, tasks, task); }
  Range band(int64_t i) const { return part_of(plan.height, bands, i % bands); }
  /// Pixels before band i.
  int64_t pixels_before(int64_t i) const { return (i / bands * plan.height + band(i).begin) * plan.width; }
  Range pixels_of(int64_t task) const {
    const Range r = bands_of(task);
    return {pixels_before(r.begin), pixels_before(r.end)};
  }
};

/// A unit and where its operands and its part of the workspace begin.
struct UnitCall {
  const PoolStatsUnit& unit;
  const View& x;
  size_t x_at;
  const Out* out;
  int64_t partials, constants;  ///< in doubles, in floats behind all partials
  int64_t pass;                 ///< consecutive units that read the same x make one pass

  PoolPlan plan() const { return {unit.pool, x.shape}; }
};

/// Calls f(UnitCall) for every unit; returns what would come next.
struct UnitsEnd {
  int64_t doubles = 0, floats = 0, passes = 0;
};
template <class F>
UnitsEnd for_units(const Call& call, const F& f) {
  const auto& units = call.attr<PoolStatsAttrs>().units;
  size_t at = 0;
  UnitsEnd end;
  const void* before = nullptr;
  for (size_t u = 0; u < units.size(); at += units[u].inputs(), ++u) {
    const View& x = call.in[at];
    if (u == 0 || x.data != before) ++end.passes;
    f(UnitCall{units[u], x, at, call.out.data() + 4 * u, end.doubles, end.floats, end.passes - 1});
    end.doubles += kMaxPartials * partial_doubles(x.last());
    end.floats += load_floats(x.last());
    before = x.data;
  }
  return end;
}
UnitsEnd units_end(const Call& call) {
  return for_units(call, [](const UnitCall&) {});
}

/// Lines of a thread.
int64_t line_floats(const Call& call) {
  int64_t most = 0;
  for_units(call, [&](const UnitCall& u) { most = std::max(most, u.plan().forward_floats()); });
  return most;
}
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

template <bool kMax>
void RunTask(const UnitCall& u, int64_t task, double* partials, const PoolInput& x, float* lines) {
  const PoolPlan plan = u.plan();
  const StatsTasks tasks(plan);
  if (task >= tasks.tasks) return;
  TaskMoments moments(u.out[0], tasks.pixels_of(task), partials + task * partial_doubles(plan.channels));
  const Range mine = tasks.bands_of(task);
  for (int64_t i = mine.begin; i < mine.end; ++i)
    ForwardBand<kMax>(plan, x, u.out[0], i / tasks.bands, tasks.band(i), lines,
                      [&](int64_t ready) { moments.advance(ready); });
  moments.finish();
}

void Forward(const Call& call) {
  const UnitsEnd end = units_end(call);
  auto* partials = call.exec->scratch<double>();
  auto* constants = reinterpret_cast<float*>(partials + end.doubles);
  float* lines = constants + end.floats;
  const int64_t line = line_floats(call);
  for_units(call, [&](const UnitCall& u) { fold_load(call, u.unit.load, u.x_at, constants + u.constants); });
  parallel_for(*call.exec, end.passes * kMaxPartials, [&](int64_t i, int thread) {
    for_units(call, [&](const UnitCall& u) {
      if (u.pass != i / kMaxPartials) return;
      const auto run = u.unit.max ? RunTask<true> : RunTask<false>;
      run(u, i % kMaxPartials, partials + u.partials, loaded_input(u.unit.load, u.x, constants + u.constants),
          lines + thread * line);
    });
  });
  for_units(call, [&](const UnitCall& u) {
    const PoolPlan plan = u.plan();
    const StatsTasks tasks(plan);
    FinishStats(
        partials + u.partials, plan.channels, tasks.tasks, [&](int64_t task) { return tasks.pixels_of(task); },
        u.unit.norm.eps, u.out + 1);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(Forward);
namespace {

void forward(const Call& call) {
  HWY_DYNAMIC_DISPATCH(Forward)(call);
  for_units(call, [&](const UnitCall& u) {
    const View* running = call.in.data() + u.x_at + 1 + u.unit.load.inputs();
    move_running<float>(u.unit.norm, running, u.out[0].rows(), u.out[1], u.out[2]);
  });
}
bool accepts(const Call& call) {
  const auto& units = call.attr<PoolStatsAttrs>().units;
  return all_float32(call) && std::all_of(units.begin(), units.end(), [](const PoolStatsUnit& u) {
           return PoolPlan::takes(u.pool) && !u.load.relu;
         });
}
size_t workspace(const Call& call) {
  const UnitsEnd end = units_end(call);
  return static_cast<size_t>(end.doubles) * sizeof(double) +
         static_cast<size_t>(end.floats + call.exec->threads * line_floats(call)) * sizeof(float);
}
void reference(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_ref<T>(call); });
}

constexpr Impl kForward[] = {{"separable", accepts, forward, workspace}, {"ref", any, reference}};
}  // namespace

std::span<const Impl> pool_stats_cpu() { return kForward; }
}  // namespace mixop::kernels
#endif
