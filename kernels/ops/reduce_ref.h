#pragma once

#include <algorithm>
#include <limits>

#include "kernels/core/parallel.h"
#include "kernels/ops/reduce.h"

namespace mixop::kernels {

/// Walks the elements of x that one output element gathers. Axes are aligned at the last of kMaxRank.
class ReduceWalk {
 public:
  ReduceWalk(const Shape& x, const ReduceAttrs& attrs) {
    extent_.fill(1);
    repeat_.fill(1);
    for (int a = 0, k = kMaxRank - x.rank(); a < x.rank(); ++a, ++k) {
      extent_[k] = x[a];
      (attrs.axes[a] ? repeat_ : keep_)[k] = x[a];
    }
    int64_t step = 1;
    for (int k = kMaxRank - 2; k >= 0; --k) {
      stride_[k] = step;
      step *= extent_[k];
    }
  }
  /// Elements of x for each of y.
  int64_t count() const { return repeat_[0] * repeat_[1] * repeat_[2] * repeat_[3] * repeat_[4]; }

  /// Calls f(row, column) for each element of x, seen as [rows, last], that output element o gathers.
  template <class F>
  void each(int64_t o, F&& f) const {
    std::array<int64_t, kMaxRank> at{};
    for (int k = kMaxRank - 1; k >= 0; --k) {
      if (!keep_[k]) continue;
      at[k] = o % keep_[k];
      o /= keep_[k];
    }
    const auto& n = repeat_;
    for (int64_t i0 = 0; i0 < n[0]; ++i0)
      for (int64_t i1 = 0; i1 < n[1]; ++i1)
        for (int64_t i2 = 0; i2 < n[2]; ++i2)
          for (int64_t i3 = 0; i3 < n[3]; ++i3) {
            const int64_t row = (at[0] + i0) * stride_[0] + (at[1] + i1) * stride_[1] + (at[2] + i2) * stride_[2] +
                                (at[3] + i3) * stride_[3];
            for (int64_t i4 = 0; i4 < n[4]; ++i4) f(row, at[4] + i4);
          }
  }

 private:
  std::array<int64_t, kMaxRank> extent_{}, stride_{};  // strides in rows
  std::array<int64_t, kMaxRank> repeat_{}, keep_{};    // extent of a reduced axis, of one that stays (else 1 and 0)
};

/// Element i of a view, counted in row-major order.
template <class T>
T& reduce_at(const View& v, int64_t i) {
  return v.as<T>()[i / v.last() * v.ld + i % v.last()];
}

/// Calls f(o) for every output element, in parallel bands that touch about 8k elements of x.
template <class F>
void reduce_outputs(const Call& call, int64_t outputs, int64_t elements, F&& f) {
  const int64_t tasks = std::clamp<int64_t>(elements >> 13, 1, outputs);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(outputs, tasks, task);
    for (int64_t o = begin; o < end; ++o) f(o);
  });
}

template <class T>
void reduce_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const auto& attrs = call.attr<ReduceAttrs>();
  const ReduceWalk walk(x.shape, attrs);
  const auto at = [&](int64_t row, int64_t c) { return x.as<T>()[row * x.ld + c]; };
  reduce_outputs(call, y.shape.elements(), x.shape.elements(), [&](int64_t o) {
    double sum = 0;
    T best = -std::numeric_limits<T>::infinity();
    if (attrs.kind == Reduce::kMax) {
      walk.each(o, [&](int64_t row, int64_t c) {
        const T v = at(row, c);
        if (v > best || v != v) best = v;  // NaN stays: no number is above it
      });
    } else {
      walk.each(o, [&](int64_t row, int64_t c) { sum += at(row, c); });
      best = static_cast<T>(attrs.kind == Reduce::kMean ? sum / static_cast<double>(walk.count()) : sum);
    }
    reduce_at<T>(y, o) = best;
  });
}

template <class T>
void reduce_grad_ref(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const ReduceAttrs& attrs = call.attr<ReduceGradAttrs>().reduce;
  const bool add = dx.write == Write::kAdd;
  const ReduceWalk walk(dx.shape, attrs);
  const auto put = [&](int64_t row, int64_t c, T g) {
    T& out = dx.as<T>()[row * dx.ld + c];
    out = add ? out + g : g;
  };
  reduce_outputs(call, dy.shape.elements(), dx.shape.elements(), [&](int64_t o) {
    const T g = reduce_at<T>(dy, o);
    if (attrs.kind != Reduce::kMax) {
      const T share = attrs.kind == Reduce::kMean ? g / static_cast<T>(walk.count()) : g;
      return walk.each(o, [&](int64_t row, int64_t c) { put(row, c, share); });
    }
    const View& x = call.in[1];
    const T best = reduce_at<T>(call.in[2], o);
    const auto tie = [&](int64_t row, int64_t c) { return T(x.as<T>()[row * x.ld + c] == best); };
    T ties = 0;
    walk.each(o, [&](int64_t row, int64_t c) { ties += tie(row, c); });
    walk.each(o, [&](int64_t row, int64_t c) { put(row, c, g * tie(row, c) / ties); });  // all NaN when best is
  });
}

}  // namespace mixop::kernels
