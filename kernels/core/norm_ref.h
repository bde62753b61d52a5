// The statistics of batch normalisation and its gradient in plain loops; sums are kept in double.
#pragma once

#include <cmath>

#include "kernels/core/norm.h"

namespace mixop::kernels {

/// Moves pairs of running statistics towards the mean and the biased variance of `rows` numbers a channel.
template <class T>
void move_running(const BatchNormAttrs& a, const View* running, int64_t rows, const View& mean, const View& var) {
  const double keep = 1 - a.momentum, unbiased = unbiased_factor(rows);
  for (int i = 0; i < a.running; ++i) {
    T *m = running[2 * i].as<T>(), *v = running[2 * i + 1].as<T>();
    for (int64_t c = 0; c < mean.last(); ++c) {
      m[c] = static_cast<T>(keep * m[c] + a.momentum * mean.as<T>()[c]);
      v[c] = static_cast<T>(keep * v[c] + a.momentum * unbiased * var.as<T>()[c]);
    }
  }
}

template <class T>
void bn_stats_ref(const Call& call) {
  const View& x = call.in[0];
  const double eps = call.attr<BatchNormAttrs>().eps;
  const int64_t rows = x.rows();
  for (int64_t c = 0; c < x.last(); ++c) {
    const T* p = x.as<T>() + c;
    double sum = 0, squares = 0;
    for (int64_t r = 0; r < rows; ++r) sum += p[r * x.ld] - p[0];  // relative to the first: exact when constant
    const double mean = p[0] + sum / rows;
    for (int64_t r = 0; r < rows; ++r) squares += (p[r * x.ld] - mean) * (p[r * x.ld] - mean);
    call.out[0].as<T>()[c] = static_cast<T>(mean);
    call.out[1].as<T>()[c] = static_cast<T>(squares / rows);
    call.out[2].as<T>()[c] = static_cast<T>(1 / std::sqrt(squares / rows + eps));
  }
  move_running<T>(call.attr<BatchNormAttrs>(), call.in.data() + 1, rows, call.out[0], call.out[1]);
}

template <class T>
void bn_grad_ref(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const auto& a = call.attr<BatchNormAttrs>();
  const T *mean = call.in[2].as<T>(), *rstd = call.in[3].as<T>(), *s1 = call.in[4].as<T>(),
          *s2 = call.in[5].as<T>(), *gamma = a.affine ? call.in[6].as<T>() : nullptr;
  const T w = gradient_scale<T>(call), count = static_cast<T>(x.rows());
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.last(); ++c) {
      T g = w * dy.as<T>()[r * dy.ld + c];
      if (a.training) g -= s1[c] / count + (x.as<T>()[r * x.ld + c] - mean[c]) * rstd[c] * (s2[c] / count);
      g *= rstd[c] * (gamma ? gamma[c] : T(1));
      T& out = dx.as<T>()[r * dx.ld + c];
      out = dx.write == Write::kAdd ? out + g : g;
    }
}

}  // namespace mixop::kernels
