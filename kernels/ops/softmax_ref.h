#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/parallel.h"
#include "kernels/ops/softmax.h"

namespace mixop::kernels {

/// The elements along the axis at one position of the other axes.
template <class T>
struct Lane {
  T* data;
  int64_t stride;
  T& operator[](int64_t k) const { return data[k * stride]; }
};

/// Lane i of a view, counted in row-major order of the other axes.
template <class T>
Lane<T> lane_of(const View& v, int axis, int64_t i) {
  T* data = v.as<T>();
  if (axis == v.shape.rank() - 1) return {data + i * v.ld, 1};
  int64_t between = 1;  // rows from one step along the axis to the next
  for (int k = axis + 1; k < v.shape.rank() - 1; ++k) between *= v.shape[k];
  const int64_t column = i % v.last(), row = i / v.last();
  const int64_t outer = row / between, inner = row % between;
  return {data + (outer * v.shape[axis] * between + inner) * v.ld + column, between * v.ld};
}

/// Calls f(lane index) for every lane, in parallel bands of about 2k elements.
template <class F>
void softmax_lanes(const Call& call, F&& f) {
  const Shape& s = call.out[0].shape;
  const int64_t lanes = s.elements() / s[call.attr<SoftmaxAttrs>().axis];
  const int64_t tasks = std::clamp<int64_t>(s.elements() >> 11, 1, lanes);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(lanes, tasks, task);
    for (int64_t i = begin; i < end; ++i) f(i);
  });
}

template <class T, bool kLog>
void softmax_ref(const Call& call) {
  const int axis = call.attr<SoftmaxAttrs>().axis;
  const int64_t n = call.in[0].shape[axis];
  softmax_lanes(call, [&](int64_t i) {
    const auto x = lane_of<T>(call.in[0], axis, i), y = lane_of<T>(call.out[0], axis, i);
    T top = -std::numeric_limits<T>::infinity();
    for (int64_t k = 0; k < n; ++k) top = std::max(top, x[k]);
    double sum = 0;
    for (int64_t k = 0; k < n; ++k) {
      const T e = std::exp(x[k] - top);
      sum += e;
      y[k] = kLog ? x[k] - top : e;
    }
    if (kLog) {
      for (int64_t k = 0; k < n; ++k) y[k] -= static_cast<T>(std::log(sum));
    } else {
      for (int64_t k = 0; k < n; ++k) y[k] /= static_cast<T>(sum);
    }
  });
}

template <class T, bool kLog>
void softmax_grad_ref(const Call& call) {
  const int axis = call.attr<SoftmaxAttrs>().axis;
  const int64_t n = call.in[0].shape[axis];
  const bool add = call.out[0].write == Write::kAdd;
  softmax_lanes(call, [&](int64_t i) {
    const auto dy = lane_of<T>(call.in[0], axis, i), y = lane_of<T>(call.in[1], axis, i);
    const auto dx = lane_of<T>(call.out[0], axis, i);
    double sum = 0;
    for (int64_t k = 0; k < n; ++k) sum += kLog ? double{dy[k]} : double{dy[k]} * double{y[k]};
    for (int64_t k = 0; k < n; ++k) {
      const T s = static_cast<T>(sum), g = kLog ? dy[k] - std::exp(y[k]) * s : y[k] * (dy[k] - s);
      dx[k] = add ? dx[k] + g : g;
    }
  });
}

}  // namespace mixop::kernels
