#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/ops/concat.h"

namespace mixop::kernels {

/// Calls f(row of the whole, its first column, row of the part) for each row of a part that lies at `begin` of the
/// axis, in parallel bands of about 16k elements. Rows and columns are those of a View.
template <class F>
void part_rows(const Exec& exec, const Shape& whole, const Shape& part, int axis, int64_t begin, F&& f) {
  const bool columns = axis == whole.rank() - 1;
  int64_t between = 1;  // rows from one step along the axis to the next
  for (int k = axis + 1; k < whole.rank() - 1; ++k) between *= whole[k];
  const int64_t step = part[axis] * between;
  const int64_t rows = part.rows(), tasks = std::clamp<int64_t>(part.elements() >> 14, 1, rows);
  parallel_for(exec, tasks, [&](int64_t task, int) {
    const auto [first, last] = part_of(rows, tasks, task);
    for (int64_t r = first; r < last; ++r) {
      if (columns) f(r, begin, r);
      else f((r / step * whole[axis] + begin) * between + r % step, int64_t{0}, r);
    }
  });
}

template <class T>
void put_row(const T* from, T* to, int64_t n, bool add) {
  for (int64_t c = 0; c < n; ++c) to[c] = add ? to[c] + from[c] : from[c];
}

template <class T>
void concat_axis_ref(const Call& call) {
  const Out& y = call.out[0];
  const int axis = call.attr<ConcatAttrs>().axis;
  int64_t begin = 0;
  for (const View& x : call.in) {
    part_rows(*call.exec, y.shape, x.shape, axis, begin, [&](int64_t row, int64_t column, int64_t part) {
      put_row(x.as<T>() + part * x.ld, y.as<T>() + row * y.ld + column, x.last(), false);
    });
    begin += x.shape[axis];
  }
}

template <class T>
void slice_axis_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const auto& attrs = call.attr<SliceAxisAttrs>();
  part_rows(*call.exec, x.shape, y.shape, attrs.axis, attrs.begin, [&](int64_t row, int64_t column, int64_t part) {
    put_row(x.as<T>() + row * x.ld + column, y.as<T>() + part * y.ld, y.last(), y.write == Write::kAdd);
  });
}

template <class T>
void slice_grad_ref(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const auto& attrs = call.attr<SliceGradAttrs>();
  if (dx.write == Write::kSet)
    for (int64_t r = 0; r < dx.rows(); ++r) std::fill_n(dx.as<T>() + r * dx.ld, dx.last(), T(0));
  part_rows(
      *call.exec, dx.shape, dy.shape, attrs.axis, attrs.begin, [&](int64_t row, int64_t column, int64_t part) {
        put_row(dy.as<T>() + part * dy.ld, dx.as<T>() + row * dx.ld + column, dy.last(), dx.write == Write::kAdd);
      });
}

}  // namespace mixop::kernels
