#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/ops/gumbel_softmax.h"

namespace mixop::kernels {

/// exp((a + n - largest of the row) / temperature), element by element; returns the sum. f(k, value).
template <class T, class F>
double gumbel_exponentials(const T* a, const T* n, int64_t columns, T temperature, F&& f) {
  T top = a[0] + n[0];
  for (int64_t k = 1; k < columns; ++k) top = std::max(top, a[k] + n[k]);
  double sum = 0;
  for (int64_t k = 0; k < columns; ++k) {
    const T e = std::exp((a[k] + n[k] - top) / temperature);
    sum += e;
    f(k, e);
  }
  return sum;
}

template <class T>
void gumbel_softmax_ref(const Call& call) {
  const View &alphas = call.in[0], &noise = call.in[1];
  const T temperature = *call.in[2].as<T>();
  const int64_t columns = alphas.last();
  for (int64_t row = 0; row < alphas.shape[0]; ++row) {
    const T *a = alphas.as<T>() + row * alphas.ld, *n = noise.as<T>() + row * noise.ld;
    T* y = call.out[0].as<T>() + row * call.out[0].ld;
    if (call.attr<GumbelSoftmaxAttrs>().hard) {
      int64_t best = 0;
      for (int64_t k = 1; k < columns; ++k)
        if (a[k] + n[k] > a[best] + n[best]) best = k;
      std::fill(y, y + columns, T(0));
      y[best] = 1;
    } else {
      const double sum = gumbel_exponentials(a, n, columns, temperature, [&](int64_t k, T e) { y[k] = e; });
      for (int64_t k = 0; k < columns; ++k) y[k] /= static_cast<T>(sum);
    }
  }
}

template <class T>
void gumbel_softmax_grad_ref(const Call& call) {
  const View &upstream = call.in[0], &alphas = call.in[1], &noise = call.in[2];
  const T temperature = *call.in[3].as<T>();
  const int64_t columns = alphas.last();
  const bool add = call.out[0].write == Write::kAdd;
  for (int64_t row = 0; row < alphas.shape[0]; ++row) {
    const T *a = alphas.as<T>() + row * alphas.ld, *n = noise.as<T>() + row * noise.ld;
    const T* dy = upstream.as<T>() + row * upstream.ld;
    T* dx = call.out[0].as<T>() + row * call.out[0].ld;
    double product = 0;
    const double sum = gumbel_exponentials(a, n, columns, temperature,
                                           [&](int64_t k, T e) { product += double{e} * double{dy[k]}; });
    const T mean = static_cast<T>(product / sum), scale = static_cast<T>(1 / (sum * double{temperature}));
    gumbel_exponentials(a, n, columns, temperature, [&](int64_t k, T e) {
      const T g = e * scale * (dy[k] - mean);
      dx[k] = add ? dx[k] + g : g;
    });
  }
}

}  // namespace mixop::kernels
