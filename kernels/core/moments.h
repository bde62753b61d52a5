// Statistics of the columns of [rows, channels], block by block while the rows lie in a cache: exact for constant
// columns, without cancellation, one partial a task. Included once per SIMD target.
#ifndef MIXOP_KERNELS_CORE_MOMENTS_ONCE
#define MIXOP_KERNELS_CORE_MOMENTS_ONCE
#include <algorithm>
#include <cmath>

#include "kernels/core/tensor.h"
#include "kernels/core/wide_rows.h"

namespace mixop::kernels {

/// Rows that a reduction reads again from the first-level cache and sums in float32.
inline int64_t block_rows(int64_t width) { return std::clamp<int64_t>(4096 / width, 16, 256); }

/// Doubles of one task's partial: two rows.
inline int64_t partial_doubles(int64_t channels) { return 2 * widest_row(channels); }
inline size_t moments_bytes(int64_t channels) {
  return static_cast<size_t>(kMaxPartials * partial_doubles(channels)) * sizeof(double);
}
}  // namespace mixop::kernels
#endif

#if defined(MIXOP_KERNELS_CORE_MOMENTS_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef MIXOP_KERNELS_CORE_MOMENTS_H_
#undef MIXOP_KERNELS_CORE_MOMENTS_H_
#else
#define MIXOP_KERNELS_CORE_MOMENTS_H_
#endif

#include "kernels/core/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Merges statistics of equal counts into running ones, per column (Chan, Golub and LeVeque 1979).
void Merge(int64_t n, double* mean, double* m2, double count, const double* mean_b, const double* m2_b,
           double count_b) {
  const double part = count_b / (count + count_b), both = count * part;
  for (int64_t i = 0; i < n; ++i) {
    const double delta = mean_b[i] - mean[i];
    mean[i] += delta * part;
    m2[i] += m2_b[i] + delta * delta * both;
  }
}

/// Adds a block of rows to the statistics of its columns. One pass finds the mean relative to the first row, a
/// second one, from cache, sums around it: no cancellation, and a constant column gives exactly its value and 0.
void AddMoments(const float* x, int64_t stride, int64_t rows, int64_t width, double count, double* mean,
                double* m2) {
  const float inverse = 1.0f / static_cast<float>(rows);
  for_columns(width, [&]<int G>(auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 centre[G], sum[G], squares[G];
    for (int g = 0; g < G; ++g) {
      centre[g] = io.load(x + j + g * kLanes);
      sum[g] = hn::Zero(d);
    }
    for (int64_t r = 1; r < rows; ++r)
      for (int g = 0; g < G; ++g)
        sum[g] = hn::Add(sum[g], hn::Sub(io.load(x + r * stride + j + g * kLanes), centre[g]));
    for (int g = 0; g < G; ++g) {
      centre[g] = hn::MulAdd(sum[g], hn::Set(d, inverse), centre[g]);
      sum[g] = squares[g] = hn::Zero(d);
    }
    for (int64_t r = 0; r < rows; ++r)
      for (int g = 0; g < G; ++g) {
        const Vec32 v = hn::Sub(io.load(x + r * stride + j + g * kLanes), centre[g]);
        sum[g] = hn::Add(sum[g], v);
        squares[g] = hn::MulAdd(v, v, squares[g]);
      }
    HWY_ALIGN float c[G * kLanes], s[G * kLanes], q[G * kLanes];
    double mean_b[G * kLanes], m2_b[G * kLanes];
    for (int g = 0; g < G; ++g) {
      hn::Store(centre[g], d, c + g * kLanes);
      hn::Store(sum[g], d, s + g * kLanes);
      hn::Store(squares[g], d, q + g * kLanes);
    }
    const double per_row = 1.0 / static_cast<double>(rows);
    for (int64_t i = 0; i < G * kLanes; ++i) {
      mean_b[i] = c[i] + s[i] * per_row;
      m2_b[i] = q[i] - s[i] * per_row * s[i];
    }
    Merge(std::min<int64_t>(G * kLanes, width - j), mean + j, m2 + j, count, mean_b, m2_b,
          static_cast<double>(rows));
  });
}

/// Mean and sum of squared distances from it of the rows of one task, gathered as these become ready.
class TaskMoments {
 public:
  /// `partial` has partial_doubles(); rows of `x` outside `rows` are not read.
  TaskMoments(const View& x, Range rows, double* partial)
      : x_(x),
        channels_(x.last()),
        per_wide_(rows_per_wide_row(channels_, kLanes, x.ld == channels_)),
        next_(rows.begin),
        wide_end_(rows.begin + (rows.end - rows.begin) / per_wide_ * per_wide_),
        end_(rows.end),
        mean_(partial),
        m2_(partial + partial_doubles(channels_) / 2) {
    std::fill_n(partial, partial_doubles(channels_), 0.0);
  }
  /// Takes up whole blocks of the rows before `ready`, which nobody changes any more.
  void advance(int64_t ready) {
    const int64_t block = block_rows(channels_ * per_wide_) * per_wide_;
    for (const int64_t end = std::min(ready, wide_end_); next_ + block <= end;) take(block, per_wide_);
  }
  /// Takes up the rest; the partial's two rows are then those of the channels.
  void finish() {
    advance(end_);
    if (next_ < wide_end_) take(wide_end_ - next_, per_wide_);
    const double each = count_;  // fold the repeated columns into the first `channels`
    for (int64_t k = channels_; k < channels_ * per_wide_; k += channels_, count_ += each)
      if (each > 0) Merge(channels_, mean_, m2_, count_, mean_ + k, m2_ + k, each);
    const int64_t block = block_rows(channels_);
    while (next_ < end_) take(std::min(block, end_ - next_), 1);
  }

 private:
  void take(int64_t rows, int64_t per_wide) {
    const int64_t wide = rows / per_wide;
    AddMoments(x_.as<float>() + next_ * x_.ld, x_.ld * per_wide, wide, channels_ * per_wide, count_, mean_, m2_);
    count_ += static_cast<double>(wide);
    next_ += rows;
  }

  const View& x_;
  int64_t channels_, per_wide_, next_, wide_end_, end_;
  double *mean_, *m2_;
  double count_ = 0;  ///< rows in each column so far
};

/// Merges the partials of `tasks` tasks in order, task t of rows_of(t), and writes mean, var and rstd.
template <class RowsOf>
void FinishStats(double* partials, int64_t channels, int64_t tasks, const RowsOf& rows_of, double eps,
                 const Out* out) {
  const int64_t stride = partial_doubles(channels);
  double *mean = partials, *m2 = partials + stride / 2, count = 0;
  for (int64_t t = 0; t < tasks; ++t) {
    const Range rows = rows_of(t);
    const auto n = static_cast<double>(rows.end - rows.begin);
    if (t > 0) Merge(channels, mean, m2, count, mean + t * stride, m2 + t * stride, n);
    count += n;
  }
  for (int64_t c = 0; c < channels; ++c) {
    const double var = std::max(m2[c] / count, 0.0);
    out[0].as<float>()[c] = static_cast<float>(mean[c]);
    out[1].as<float>()[c] = static_cast<float>(var);
    out[2].as<float>()[c] = static_cast<float>(1 / std::sqrt(var + eps));
  }
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();
#endif
