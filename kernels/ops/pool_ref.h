// The definition of pooling in plain loops.
#pragma once

#include <cmath>
#include <limits>

#include "kernels/ops/pool.h"

namespace mixop::kernels {

/// Calls f(row of x, row of y) for every valid cell of every window, in row-major order within a window; rows count
/// pixels over [N, H, W]. begin(row of y) is called before and end(row of y) after a window.
template <class Begin, class Cell, class End>
void for_pool_windows(const PoolAttrs& attrs, const Shape& x, Begin begin, Cell f, End end) {
  const PoolAxis v(attrs, x, 0), h(attrs, x, 1);
  int64_t out = 0;
  for (int64_t n = 0; n < x[0]; ++n)
    for (int64_t yo = 0; yo < v.outputs(); ++yo)
      for (int64_t xo = 0; xo < h.outputs(); ++xo, ++out) {
        begin(out);
        for (int64_t ky = 0; ky < v.kernel; ++ky)
          for (int64_t kx = 0; kx < h.kernel; ++kx) {
            const int64_t yi = v.begin(yo) + ky * v.dilation, xi = h.begin(xo) + kx * h.dilation;
            if (yi >= 0 && yi < v.size && xi >= 0 && xi < h.size) f((n * v.size + yi) * h.size + xi, out);
          }
        end(out, static_cast<double>(v.divisor(yo) * h.divisor(xo)));
      }
}

/// Calls found(row of y, row of x or -1, maximum) for every window of channel c.
template <class T, class Found>
void for_pool_maxima(const PoolAttrs& attrs, const View& x, int64_t c, Found found) {
  T best = 0;
  int64_t at = -1;
  for_pool_windows(
      attrs, x.shape,
      [&](int64_t) {
        best = -std::numeric_limits<T>::infinity();
        at = -1;
      },
      [&](int64_t in, int64_t) {
        const T value = x.as<T>()[in * x.ld + c];
        if (at >= 0 && !(value > best || std::isnan(value))) return;
        best = value;
        at = in;
      },
      [&](int64_t out, double) { found(out, at, best); });
}

template <class T>
void max_pool_ref(const Call& call) {
  const Out& y = call.out[0];
  for (int64_t c = 0; c < y.last(); ++c)
    for_pool_maxima<T>(call.attr<PoolAttrs>(), call.in[0], c,
                       [&](int64_t out, int64_t, T best) { y.as<T>()[out * y.ld + c] = best; });
}

template <class T>
void clear_unless_add(const Out& out) {
  if (out.write == Write::kAdd) return;
  for (int64_t r = 0; r < out.rows(); ++r) std::fill_n(out.as<T>() + r * out.ld, out.last(), T(0));
}

template <class T>
void max_pool_grad_ref(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  clear_unless_add<T>(dx);
  for (int64_t c = 0; c < x.last(); ++c)
    for_pool_maxima<T>(call.attr<PoolAttrs>(), x, c, [&](int64_t out, int64_t at, T) {
      if (at >= 0) dx.as<T>()[at * dx.ld + c] += dy.as<T>()[out * dy.ld + c];
    });
}

template <class T>
void max_pool_take_ref(const Call& call) {
  const View &v = call.in[0], &x = call.in[1];
  const Out& y = call.out[0];
  for (int64_t c = 0; c < x.last(); ++c)
    for_pool_maxima<T>(call.attr<PoolAttrs>(), x, c, [&](int64_t out, int64_t at, T) {
      y.as<T>()[out * y.ld + c] = at >= 0 ? v.as<T>()[at * v.ld + c] : T(0);
    });
}

template <class T>
void avg_pool_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  for (int64_t c = 0; c < y.last(); ++c) {
    double sum = 0;
    for_pool_windows(
        call.attr<PoolAttrs>(), x.shape, [&](int64_t) { sum = 0; },
        [&](int64_t in, int64_t) { sum += x.as<T>()[in * x.ld + c]; },
        [&](int64_t out, double divisor) { y.as<T>()[out * y.ld + c] = static_cast<T>(sum / divisor); });
  }
}

template <class T>
void avg_pool_grad_ref(const Call& call) {
  const auto& attrs = call.attr<AvgPoolGradAttrs>();
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const PoolAxis v(attrs.pool, attrs.x, 0), h(attrs.pool, attrs.x, 1);
  clear_unless_add<T>(dx);
  for (int64_t c = 0; c < dx.last(); ++c)
    for_pool_windows(
        attrs.pool, attrs.x, [](int64_t) {},
        [&](int64_t in, int64_t out) {
          const int64_t xo = out % h.outputs(), yo = out / h.outputs() % v.outputs();
          const T divisor = static_cast<T>(v.divisor(yo) * h.divisor(xo));
          dx.as<T>()[in * dx.ld + c] += dy.as<T>()[out * dy.ld + c] / divisor;
        },
        [](int64_t, double) {});
}

}  // namespace mixop::kernels
