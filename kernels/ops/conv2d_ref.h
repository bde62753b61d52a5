#pragma once

#include "kernels/core/parallel.h"
#include "kernels/ops/conv2d.h"

namespace mixop::kernels {

/// Calls f(input position, output position) for every pair of one axis that filter element r connects.
template <class F>
void conv2d_pairs(const Conv2dAttrs& a, int axis, int r, int64_t in, int64_t out, F&& f) {
  for (int64_t o = 0; o < out; ++o) {
    const int64_t i = o * a.stride[axis] - a.pad_begin[axis] + int64_t{r} * a.dilation[axis];
    if (i >= 0 && i < in) f(i, o);
  }
}

/// Calls f(x pixel, y pixel, filter element) for every triple of image n that the convolution connects; pixels are
/// row numbers of the views.
template <class F>
void conv2d_connections(const Conv2dAttrs& a, const Shape& x, const Shape& y, int64_t n, F&& f) {
  for (int r = 0; r < a.kernel[0]; ++r) {
    for (int s = 0; s < a.kernel[1]; ++s) {
      conv2d_pairs(a, 0, r, x[1], y[1], [&](int64_t ih, int64_t oh) {
        conv2d_pairs(a, 1, s, x[2], y[2], [&](int64_t iw, int64_t ow) {
          f((n * x[1] + ih) * x[2] + iw, (n * y[1] + oh) * y[2] + ow, int64_t{r} * a.kernel[1] + s);
        });
      });
    }
  }
}

/// y[.,k] = sum over connections and channels c of the group of k: t(x[.,c]) w[r,s,c,k].
template <class T>
void conv2d_ref(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &x = call.in[0], &w = call.in[1];
  const Out& y = call.out[0];
  const Loader<T> load(call, a.load, 2);
  const int64_t cg = w.shape[2], k = w.shape[3], kg = k / a.groups;
  parallel_for(*call.exec, x.shape[0], [&](int64_t n, int) {
    const int64_t pixels = y.shape[1] * y.shape[2];
    for (int64_t p = n * pixels; p < (n + 1) * pixels; ++p)
      for (int64_t j = 0; j < k; ++j) y.as<T>()[p * y.ld + j] = 0;
    conv2d_connections(a, x.shape, y.shape, n, [&](int64_t px, int64_t py, int64_t rs) {
      for (int64_t c = 0; c < x.last(); ++c) {
        const T v = load(x.as<T>()[px * x.ld + c], c);
        const T* wc = w.as<T>() + (rs * cg + c % cg) * k;
        for (int64_t j = c / cg * kg; j < (c / cg + 1) * kg; ++j) y.as<T>()[py * y.ld + j] += v * wc[j];
      }
    });
  });
}

/// dx[.,c] = [t(x0) > 0] sum over connections and outputs k of the group of c: dy[.,k] w[r,s,c,k].
template <class T>
void conv2d_dgrad_ref(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &dy = call.in[0], &w = call.in[1];
  const Out& dx = call.out[0];
  OnLoad norm = a.load;
  norm.relu = false;
  const Loader<T> t(call, a.mask ? norm : OnLoad(), 3);
  const View* x0 = a.mask ? &call.in[2] : nullptr;
  const int64_t cg = w.shape[2], k = w.shape[3], kg = k / a.groups;
  parallel_for(*call.exec, dx.shape[0], [&](int64_t n, int) {
    const int64_t begin = n * dx.shape[1] * dx.shape[2], end = begin + dx.shape[1] * dx.shape[2];
    const auto dropped = [&](int64_t p, int64_t c) { return x0 && t(x0->as<T>()[p * x0->ld + c], c) <= 0; };
    if (dx.write == Write::kSet) {
      for (int64_t p = begin; p < end; ++p)
        for (int64_t c = 0; c < dx.last(); ++c) dx.as<T>()[p * dx.ld + c] = 0;
    }
    conv2d_connections(a, dx.shape, dy.shape, n, [&](int64_t px, int64_t py, int64_t rs) {
      for (int64_t c = 0; c < dx.last(); ++c) {
        if (dropped(px, c)) continue;
        const T* wc = w.as<T>() + (rs * cg + c % cg) * k;
        T sum = 0;
        for (int64_t j = c / cg * kg; j < (c / cg + 1) * kg; ++j) sum += dy.as<T>()[py * dy.ld + j] * wc[j];
        dx.as<T>()[px * dx.ld + c] += sum;
      }
    });
  });
}

/// dw[r,s,c,k] = sum over connections: t(x[.,c]) dy[.,k].
template <class T>
void conv2d_wgrad_ref(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dw = call.out[0];
  const Loader<T> load(call, a.load, 2);
  const int64_t cg = dw.shape[2], k = dw.shape[3], kg = k / a.groups;
  parallel_for(*call.exec, int64_t{a.kernel[0]} * a.kernel[1], [&](int64_t rs, int) {
    T* w = dw.as<T>() + rs * cg * k;
    if (dw.write == Write::kSet) std::fill(w, w + cg * k, T(0));
    const int r = static_cast<int>(rs / a.kernel[1]), s = static_cast<int>(rs % a.kernel[1]);
    for (int64_t n = 0; n < x.shape[0]; ++n) {
      conv2d_pairs(a, 0, r, x.shape[1], dy.shape[1], [&](int64_t ih, int64_t oh) {
        conv2d_pairs(a, 1, s, x.shape[2], dy.shape[2], [&](int64_t iw, int64_t ow) {
          const T* px = x.as<T>() + ((n * x.shape[1] + ih) * x.shape[2] + iw) * x.ld;
          const T* py = dy.as<T>() + ((n * dy.shape[1] + oh) * dy.shape[2] + ow) * dy.ld;
          for (int64_t c = 0; c < x.last(); ++c) {
            const T v = load(px[c], c);
            for (int64_t j = c / cg * kg; j < (c / cg + 1) * kg; ++j) w[c % cg * k + j] += v * py[j];
          }
        });
      });
    }
  });
}

}  // namespace mixop::kernels
