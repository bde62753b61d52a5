#include "kernels/ops/batch_norm.h"

#include <algorithm>

#include "kernels/ops/batch_norm_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/batch_norm_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/moments.h"

#ifndef MIXOP_KERNELS_OPS_BATCH_NORM_CPU_ONCE
#define MIXOP_KERNELS_OPS_BATCH_NORM_CPU_ONCE
namespace mixop::kernels {
namespace {
constexpr int64_t kTaskElements = 16384;  // elementwise: 64 KB of each operand

/// x[rows, C] cut into tasks of whole wide rows.
struct Cut {
  int64_t channels, per_wide, rows, task_rows, tasks;

  /// max_tasks 0: as many as it takes.
  Cut(const View& x, bool contiguous, int64_t lanes, int64_t max_tasks = 0)
      : channels(x.last()),
        per_wide(rows_per_wide_row(channels, lanes, contiguous)),
        rows(x.rows()),
        task_rows(rows_per_task(channels, per_wide, kTaskElements)) {
    if (max_tasks) {
      const int64_t least = (rows + max_tasks - 1) / max_tasks;
      task_rows = std::max(task_rows, (least + per_wide - 1) / per_wide * per_wide);
    }
    tasks = (rows + task_rows - 1) / task_rows;
  }
  int64_t width() const { return channels * per_wide; }
  Range task(int64_t t) const { return {t * task_rows, std::min(rows, (t + 1) * task_rows)}; }
};

bool dense(const View& v) { return v.ld == v.last(); }

/// Partials of a reduction: for each task two rows of doubles.
size_t partials_bytes(const Call& call) { return moments_bytes(call.in[0].last()); }
/// Of bn_reduce: partials and the means of one row. Norms run one after the other in the memory of the largest.
size_t sums_bytes(const View& x) { return moments_bytes(x.last()) + widest_row(x.last()) * sizeof(float); }
size_t constants_bytes(const Call& call, int rows) { return rows * widest_row(call.in[0].last()) * sizeof(float); }
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

void StatsRun(const Call& call) {
  const View& x = call.in[0];
  const Cut cut(x, dense(x), kLanes, kMaxPartials);
  double* partials = call.exec->scratch<double>();
  parallel_for(*call.exec, cut.tasks, [&](int64_t task, int) HWY_ATTR {
    TaskMoments(x, cut.task(task), partials + task * partial_doubles(x.last())).finish();
  });
  FinishStats(
      partials, x.last(), cut.tasks, [&](int64_t task) { return cut.task(task); }, call.attr<BatchNormAttrs>().eps,
      call.out.data());
}

/// s1 += column sums of dy, s2 += those of dy * (x - mean).
void AddProducts(const float* dy, int64_t lddy, const float* x, int64_t ldx, int64_t rows, int64_t width,
                 const float* mean, double* s1, double* s2) {
  for_columns(width, [&]<int G>(auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 m[G], a[G], b[G];
    for (int g = 0; g < G; ++g) {
      m[g] = io.load(mean + j + g * kLanes);
      a[g] = b[g] = hn::Zero(d);
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int g = 0; g < G; ++g) {
        const Vec32 v = io.load(dy + r * lddy + j + g * kLanes);
        a[g] = hn::Add(a[g], v);
        b[g] = hn::MulAdd(v, hn::Sub(io.load(x + r * ldx + j + g * kLanes), m[g]), b[g]);
      }
    HWY_ALIGN float sa[G * kLanes], sb[G * kLanes];
    for (int g = 0; g < G; ++g) {
      hn::Store(a[g], d, sa + g * kLanes);
      hn::Store(b[g], d, sb + g * kLanes);
    }
    const int64_t n = std::min<int64_t>(G * kLanes, width - j);
    for (int64_t i = 0; i < n; ++i) s1[j + i] += sa[i];
    for (int64_t i = 0; i < n; ++i) s2[j + i] += sb[i];
  });
}

void ReduceNorm(const Call& call, const View* in, const View& s1_out, const View& s2_out) {
  const View &dy = in[0], &x = in[1];
  const int64_t channels = x.last();
  const Cut cut(x, dense(x) && dense(dy), kLanes, kMaxPartials);
  double* partials = call.exec->scratch<double>();
  const int64_t stride = 2 * widest_row(channels);
  float* mean = call.exec->scratch<float>(static_cast<int64_t>(moments_bytes(channels)));
  for (int64_t i = 0; i < cut.width(); ++i) mean[i] = in[2].as<float>()[i % channels];
  parallel_for(*call.exec, cut.tasks, [&](int64_t task, int) HWY_ATTR {
    double *s1 = partials + task * stride, *s2 = s1 + stride / 2;
    std::fill(s1, s1 + stride, 0.0);
    for_wide_rows(cut.task(task), channels, cut.per_wide, [&](int64_t first, int64_t rows, int64_t width) HWY_ATTR {
      const int64_t wide = width / channels, block = block_rows(width);
      const float *p = dy.as<float>() + first * dy.ld, *q = x.as<float>() + first * x.ld;
      for (int64_t r = 0; r < rows; r += block)
        AddProducts(p + r * wide * dy.ld, wide * dy.ld, q + r * wide * x.ld, wide * x.ld, std::min(block, rows - r),
                    width, mean, s1, s2);
    });
    for (int64_t k = channels; k < cut.width(); ++k) {
      s1[k % channels] += s1[k];
      s2[k % channels] += s2[k];
    }
  });
  const double w = gradient_scale<float>(call);
  for (int64_t c = 0; c < channels; ++c) {
    double s1 = 0, s2 = 0;
    for (int64_t t = 0; t < cut.tasks; ++t) {
      s1 += partials[t * stride + c];
      s2 += partials[t * stride + stride / 2 + c];
    }
    s1_out.as<float>()[c] = static_cast<float>(w * s1);
    s2_out.as<float>()[c] = static_cast<float>(w * s2 * in[3].as<float>()[c]);
  }
}

void ReduceRun(const Call& call) {
  for (int n = 0; n < call.attr<BatchNormAttrs>().count; ++n)
    ReduceNorm(call, call.in.data() + 4 * n, call.out[2 * n], call.out[2 * n + 1]);
}

void ApplyRun(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const Loader<float> norm(call, {true, call.attr<BatchNormAttrs>().affine, false}, 1);
  const Cut cut(x, dense(x) && dense(y), kLanes);
  float *mean = call.exec->scratch<float>(), *scale = mean + cut.width(), *beta = scale + cut.width();
  for (int64_t i = 0, c = 0; i < cut.width(); ++i, c = i % cut.channels) {
    mean[i] = norm.mean[c];
    scale[i] = norm.gamma ? norm.rstd[c] * norm.gamma[c] : norm.rstd[c];
    beta[i] = norm.beta ? norm.beta[c] : 0;
  }
  parallel_for(*call.exec, cut.tasks, [&](int64_t task, int) HWY_ATTR {
    for_wide_rows(cut.task(task), cut.channels, cut.per_wide,
                  [&](int64_t first, int64_t rows, int64_t width) HWY_ATTR {
                    const int64_t wide = width / cut.channels;
                    for (int64_t r = 0; r < rows; ++r) {
                      const float* p = x.as<float>() + (first + r * wide) * x.ld;
                      float* q = y.as<float>() + (first + r * wide) * y.ld;
                      for_vectors(width, [&](auto io, int64_t j) HWY_ATTR {
                        const Vec32 centred = hn::Sub(io.load(p + j), io.load(mean + j));
                        io.store(hn::MulAdd(centred, io.load(scale + j), io.load(beta + j)), q + j);
                      });
                    }
                  });
  });
}

/// dx (+)= a * dy [- k1 - (x - mean) * k2], constants per column.
template <bool kTraining, bool kAdd>
void GradRow(const float* dy, const float* x, float* dx, int64_t width, const float* a, const float* mean,
             const float* k1, const float* k2) {
  for_vectors(width, [&](auto io, int64_t j) HWY_ATTR {
    Vec32 g = hn::Mul(io.load(a + j), io.load(dy + j));
    if constexpr (kTraining) {
      const Vec32 centred = hn::Sub(io.load(x + j), io.load(mean + j));
      g = hn::NegMulAdd(centred, io.load(k2 + j), hn::Sub(g, io.load(k1 + j)));
    }
    if constexpr (kAdd) g = hn::Add(g, io.load(dx + j));
    io.store(g, dx + j);
  });
}

void GradRun(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const auto& attrs = call.attr<BatchNormAttrs>();
  const float *rstd = call.in[3].as<float>(), *gamma = attrs.affine ? call.in[6].as<float>() : nullptr;
  const Cut cut(x, dense(x) && dense(dy) && dense(dx), kLanes);
  float* a = call.exec->scratch<float>();
  float *mean = a + cut.width(), *k1 = mean + cut.width(), *k2 = k1 + cut.width();
  const float w = gradient_scale<float>(call), count = static_cast<float>(x.rows());
  for (int64_t i = 0, c = 0; i < cut.width(); ++i, c = i % cut.channels) {
    const float scale = rstd[c] * (gamma ? gamma[c] : 1);
    a[i] = w * scale;
    mean[i] = call.in[2].as<float>()[c];
    k1[i] = scale * (call.in[4].as<float>()[c] / count);
    k2[i] = scale * rstd[c] * (call.in[5].as<float>()[c] / count);
  }
  const bool add = dx.write == Write::kAdd;
  const auto row = attrs.training ? (add ? GradRow<true, true> : GradRow<true, false>)
                                  : (add ? GradRow<false, true> : GradRow<false, false>);
  parallel_for(*call.exec, cut.tasks, [&](int64_t task, int) {
    for_wide_rows(cut.task(task), cut.channels, cut.per_wide, [&](int64_t first, int64_t rows, int64_t width) {
      const int64_t wide = width / cut.channels;
      for (int64_t r = first; r < first + rows * wide; r += wide)
        row(dy.as<float>() + r * dy.ld, x.as<float>() + r * x.ld, dx.as<float>() + r * dx.ld, width, a, mean, k1,
            k2);
    });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(StatsRun);
HWY_EXPORT(ApplyRun);
HWY_EXPORT(ReduceRun);
HWY_EXPORT(GradRun);
namespace {

void stats(const Call& call) {
  HWY_DYNAMIC_DISPATCH(StatsRun)(call);
  move_running<float>(call.attr<BatchNormAttrs>(), call.in.data() + 1, call.in[0].rows(), call.out[0], call.out[1]);
}
void apply(const Call& call) { HWY_DYNAMIC_DISPATCH(ApplyRun)(call); }
void reduce(const Call& call) { HWY_DYNAMIC_DISPATCH(ReduceRun)(call); }
void grad(const Call& call) { HWY_DYNAMIC_DISPATCH(GradRun)(call); }

size_t reduce_bytes(const Call& call) {
  size_t most = 0;
  for (int n = 0; n < call.attr<BatchNormAttrs>().count; ++n) most = std::max(most, sums_bytes(call.in[4 * n + 1]));
  return most;
}
size_t apply_bytes(const Call& call) { return constants_bytes(call, 3); }
size_t grad_bytes(const Call& call) { return constants_bytes(call, 4); }

#define MIXOP_REF(name)                                                   \
  void name(const Call& call) {                                           \
    with_float(call.in[0].dtype, [&]<class T>() { bn_##name<T>(call); }); \
  }
MIXOP_REF(stats_ref)
MIXOP_REF(rstd_ref)
MIXOP_REF(apply_ref)
MIXOP_REF(reduce_ref)
MIXOP_REF(grad_ref)
#undef MIXOP_REF

constexpr Impl kStats[] = {{"rows", all_float32, stats, partials_bytes}, {"ref", any, stats_ref}};
constexpr Impl kRstd[] = {{"ref", any, rstd_ref}};
constexpr Impl kApply[] = {{"rows", all_float32, apply, apply_bytes}, {"ref", any, apply_ref}};
constexpr Impl kReduce[] = {{"rows", all_float32, reduce, reduce_bytes}, {"ref", any, reduce_ref}};
constexpr Impl kGrad[] = {{"rows", all_float32, grad, grad_bytes}, {"ref", any, grad_ref}};
}  // namespace

std::span<const Impl> bn_stats_cpu() { return kStats; }
std::span<const Impl> bn_rstd_cpu() { return kRstd; }
std::span<const Impl> bn_apply_cpu() { return kApply; }
std::span<const Impl> bn_reduce_cpu() { return kReduce; }
std::span<const Impl> bn_grad_cpu() { return kGrad; }
}  // namespace mixop::kernels
#endif
