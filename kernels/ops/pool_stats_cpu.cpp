// pool_stats and pool_stats_grad on the CPU: the tasks of pool_tasks.h and pool_3x3.h, with statistics of rows that
// have just been made, and with a gradient that is evaluated when a row of it is read. One partial a task for the
// statistics.
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
namespace mixop::kernels {
namespace {

/// Tasks of the forward pass: some bands each, one after the other, so that the rows of a task are contiguous.
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

/// Lines of A, B and D, of an output row each.
int64_t constant_floats(const PoolPlan& plan) { return 3 * plan.row; }
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

template <bool kMax>
void RunForward(const Call& call) {
  const auto& a = call.attr<PoolStatsAttrs>();
  const PoolPlan plan(a.pool, call.in[0].shape);
  const StatsTasks tasks(plan);
  const View& z = call.out[0];
  double* partials = call.exec->scratch<double>();
  float* lines = call.exec->scratch<float>(static_cast<int64_t>(moments_bytes(plan.channels)));
  parallel_for(*call.exec, tasks.tasks, [&](int64_t task, int thread) {
    TaskMoments moments(z, tasks.pixels_of(task), partials + task * partial_doubles(plan.channels));
    const Range mine = tasks.bands_of(task);
    for (int64_t i = mine.begin; i < mine.end; ++i)
      ForwardBand<kMax>(plan, call.in[0], z, i / tasks.bands, tasks.band(i), lines + thread * plan.forward_floats(),
                        [&](int64_t ready) { moments.advance(ready); });
    moments.finish();
  });
  FinishStats(
      partials, plan.channels, tasks.tasks, [&](int64_t task) { return tasks.pixels_of(task); }, a.norm.eps,
      call.out.data() + 1);
}
void Forward(const Call& call) {
  call.attr<PoolStatsAttrs>().max ? RunForward<true>(call) : RunForward<false>(call);
}

/// dz = A dy + B z + D, evaluated one row of windows at a time.
class NormGradient {
 public:
  const PoolPlan& p;
  const View &dy, &z;
  const float *a, *b, *d;  ///< lines of constants

  const float* operator()(int64_t row, float* line) const {
    const float *g = dy.as<float>() + row * p.width * dy.ld, *v = z.as<float>() + row * p.width * z.ld;
    if (p.channels % kLanes == 0) Pixels(g, v, line);
    else if (dy.ld == p.channels && z.ld == p.channels) Line(g, v, p.width * p.channels, line);
    else
      for (int64_t i = 0; i < p.width; ++i) Line(g + i * dy.ld, v + i * z.ld, p.channels, line + i * p.channels);
    return line;
  }

 private:
  /// Whole vectors of channels, one after the other, with their constants in registers.
  void Pixels(const float* dy_row, const float* z_row, float* line) const {
    const F32 tag;
    const int64_t channels = p.channels, end = p.width * channels, lddy = dy.ld, ldz = z.ld;
    for (int64_t c = 0; c < channels; c += kLanes) {
      const Vec32 va = hn::LoadU(tag, a + c), vb = hn::LoadU(tag, b + c), vd = hn::LoadU(tag, d + c);
      const float *g = dy_row + c, *v = z_row + c;
      for (int64_t j = c; j < end; j += channels, g += lddy, v += ldz)
        hn::StoreU(hn::MulAdd(va, hn::LoadU(tag, g), hn::MulAdd(vb, hn::LoadU(tag, v), vd)), tag, line + j);
    }
  }
  void Line(const float* g, const float* v, int64_t count, float* out) const {
    const float *pa = a, *pb = b, *pd = d;
    for_vectors(count, [=](auto io, int64_t j) HWY_ATTR {
      const Vec32 shifted = hn::MulAdd(io.load(pb + j), io.load(v + j), io.load(pd + j));
      io.store(hn::MulAdd(io.load(pa + j), io.load(g + j), shifted), out + j);
    });
  }
};

/// Fills the lines of constants.
NormGradient FoldConstants(const Call& call, const PoolPlan& plan, float* lines) {
  const auto& norm = call.attr<PoolStatsGradAttrs>().norm;
  const View& z = call.in[1];
  const float *mean = call.in[2].as<float>(), *rstd = call.in[3].as<float>(), *s1 = call.in[4].as<float>(),
              *s2 = call.in[5].as<float>();
  const float w = norm.scaled ? flat_element<float>(call.in[6], norm.scale_index) : 1.0f;
  const auto count = static_cast<double>(z.rows());
  float *a = lines, *b = a + plan.row, *d = b + plan.row;
  for (int64_t c = 0; c < plan.channels; ++c) {
    const double k2 = double{rstd[c]} * rstd[c] * (s2[c] / count);
    a[c] = w * rstd[c];
    b[c] = static_cast<float>(-k2);
    d[c] = static_cast<float>(k2 * mean[c] - rstd[c] * (s1[c] / count));
  }
  for (float* line : {a, b, d})
    for (int64_t i = plan.channels; i < plan.width * plan.channels; ++i) line[i] = line[i - plan.channels];
  return {plan, call.in[0], z, a, b, d};
}

void Grad(const Call& call) {
  const auto& attrs = call.attr<PoolStatsGradAttrs>();
  const PoolPlan plan(attrs.pool, attrs.x);
  const NormGradient gradient = FoldConstants(call, plan, call.exec->scratch<float>());
  const int64_t floats = attrs.max ? plan.max_grad_floats() : plan.avg_grad_floats();
  for_bands(call, plan, plan.v.size, floats, constant_floats(plan), [&](int64_t image, Range band, float* scratch) {
    if (attrs.max) MaxGradBand(plan, gradient, call.in[attrs.x_at()], call.out[0], image, band, scratch);
    else AvgGradBand(plan, gradient, call.out[0], image, band, scratch);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(Forward);
HWY_EXPORT(Grad);
namespace {

void forward(const Call& call) {
  HWY_DYNAMIC_DISPATCH(Forward)(call);
  move_running<float>(call.attr<PoolStatsAttrs>().norm, call.in.data() + 1, call.out[0].rows(), call.out[1],
                      call.out[2]);
}
void grad(const Call& call) { HWY_DYNAMIC_DISPATCH(Grad)(call); }

bool accepts_forward(const Call& call) {
  return all_float32(call) && PoolPlan::takes(call.attr<PoolStatsAttrs>().pool);
}
bool accepts_grad(const Call& call) {
  return all_float32(call) && PoolPlan::takes(call.attr<PoolStatsGradAttrs>().pool);
}
size_t forward_bytes(const Call& call) {
  const PoolPlan plan(call.attr<PoolStatsAttrs>().pool, call.in[0].shape);
  return moments_bytes(plan.channels) + call.exec->threads * plan.forward_floats() * sizeof(float);
}
size_t grad_bytes(const Call& call) {
  const auto& a = call.attr<PoolStatsGradAttrs>();
  const PoolPlan plan(a.pool, a.x);
  const int64_t floats = a.max ? plan.max_grad_floats() : plan.avg_grad_floats();
  return (constant_floats(plan) + call.exec->threads * floats) * sizeof(float);
}

void forward_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_ref<T>(call); });
}
void grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { pool_stats_grad_ref<T>(call); });
}

constexpr Impl kForward[] = {{"separable", accepts_forward, forward, forward_bytes}, {"ref", any, forward_ref}};
constexpr Impl kGrad[] = {{"separable", accepts_grad, grad, grad_bytes}, {"ref", any, grad_ref}};
}  // namespace

std::span<const Impl> pool_stats_cpu() { return kForward; }
std::span<const Impl> pool_stats_grad_cpu() { return kGrad; }
}  // namespace mixop::kernels
#endif
