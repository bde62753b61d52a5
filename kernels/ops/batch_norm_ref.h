// The definition of batch normalisation in plain loops; sums are kept in double.
#pragma once

#include <cmath>

#include "kernels/core/on_load.h"
#include "kernels/ops/batch_norm.h"

namespace mixop::kernels {

/// Moves the running statistics of a bn_stats call, if it has any, towards those that it has computed.
template <class T>
void move_running(const Call& call) {
  const auto& a = call.attr<BatchNormAttrs>();
  if (!a.running) return;
  const double unbiased = unbiased_factor(call.in[0].rows());
  for (int64_t c = 0; c < call.in[0].last(); ++c) {
    T &mean = call.in[1].as<T>()[c], &var = call.in[2].as<T>()[c];
    mean = static_cast<T>((1 - a.momentum) * mean + a.momentum * call.out[0].as<T>()[c]);
    var = static_cast<T>((1 - a.momentum) * var + a.momentum * unbiased * call.out[1].as<T>()[c]);
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
  move_running<T>(call);
}

template <class T>
void bn_rstd_ref(const Call& call) {
  const double eps = call.attr<BatchNormAttrs>().eps;
  for (int64_t c = 0; c < call.in[0].last(); ++c)
    call.out[0].as<T>()[c] = static_cast<T>(1 / std::sqrt(call.in[0].as<T>()[c] + eps));
}

template <class T>
void bn_apply_ref(const Call& call) {
  const View& x = call.in[0];
  const Loader<T> normalise(call, {true, call.attr<BatchNormAttrs>().affine, false}, 1);
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.last(); ++c)
      call.out[0].as<T>()[r * call.out[0].ld + c] = normalise(x.as<T>()[r * x.ld + c], c);
}

template <class T>
void bn_reduce_ref(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const T *mean = call.in[2].as<T>(), *rstd = call.in[3].as<T>();
  const double w = gradient_scale<T>(call);
  for (int64_t c = 0; c < x.last(); ++c) {
    double s1 = 0, s2 = 0;
    for (int64_t r = 0; r < x.rows(); ++r) {
      const double g = dy.as<T>()[r * dy.ld + c];
      s1 += g;
      s2 += g * (static_cast<double>(x.as<T>()[r * x.ld + c]) - mean[c]);
    }
    call.out[0].as<T>()[c] = static_cast<T>(w * s1);
    call.out[1].as<T>()[c] = static_cast<T>(w * s2 * rstd[c]);
  }
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
