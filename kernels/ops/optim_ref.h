// Forced inline: what optim_cpu.cpp compiles once more for each instruction set. Scalars are computed
// in float64 and rounded once.
#pragma once

#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ops/optim.h"

namespace mixop::kernels {

template <class T>
double optim_scalar(const View& v) {
  return static_cast<double>(*v.as<T>());
}

/// What clipping multiplies gradients with; `norm` is the index of the optional last input. A NaN norm gives NaN.
template <class T>
double clip_factor(const Call& call, double clip, size_t norm) {
  if (clip <= 0 || call.in.size() <= norm) return 1;
  const double factor = clip / (optim_scalar<T>(call.in[norm]) + 1e-6);
  return factor > 1 ? 1 : factor;
}

/// Accumulators of sum_squares: a fixed number, so that the result does not depend on the vector width.
constexpr int kNormLanes = 16;

template <class T>
[[gnu::always_inline]] inline double sum_squares(const T* x, int64_t n) {
  double lane[kNormLanes] = {};
  int64_t i = 0;
  for (; i + kNormLanes <= n; i += kNormLanes) {
#pragma omp simd
    for (int k = 0; k < kNormLanes; ++k) lane[k] += static_cast<double>(x[i + k]) * static_cast<double>(x[i + k]);
  }
  for (; i < n; ++i) lane[0] += static_cast<double>(x[i]) * static_cast<double>(x[i]);
  double sum = 0;
  for (const double l : lane) sum += l;
  return sum;
}

template <class T>
struct SgdScalars {
  T clip, decay, momentum, damp, lr;
  bool nesterov;
  explicit SgdScalars(const Call& call) {
    const auto& a = call.attr<SgdAttrs>();
    clip = static_cast<T>(clip_factor<T>(call, a.clip, 4));
    decay = static_cast<T>(a.weight_decay);
    momentum = static_cast<T>(a.momentum);
    damp = static_cast<T>(1 - a.dampening);
    lr = static_cast<T>(optim_scalar<T>(call.in[3]));
    nesterov = a.nesterov;
  }
};

template <class T>
[[gnu::always_inline]] inline void sgd_range(const SgdScalars<T> s, T* p, const T* grad, T* buffer, int64_t n) {
  if (s.momentum == 0) {
#pragma omp simd
    for (int64_t i = 0; i < n; ++i) p[i] -= s.lr * (grad[i] * s.clip + s.decay * p[i]);
    return;
  }
#pragma omp simd
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * s.clip + s.decay * p[i];
    const T b = s.momentum * buffer[i] + s.damp * g;
    buffer[i] = b;
    p[i] -= s.lr * (s.nesterov ? g + s.momentum * b : b);
  }
}

template <class T>
struct AdamScalars {
  T clip, decay, shrink, beta1, beta2, rest1, rest2, eps, rate, root;
  /// Advances the step count.
  explicit AdamScalars(const Call& call) {
    const auto& a = call.attr<AdamAttrs>();
    T& step = *call.in[4].as<T>();
    step += 1;
    const double t = step, lr = optim_scalar<T>(call.in[5]);
    clip = static_cast<T>(clip_factor<T>(call, a.clip, 6));
    decay = static_cast<T>(a.decoupled ? 0 : a.weight_decay);
    shrink = static_cast<T>(a.decoupled ? 1 - lr * a.weight_decay : 1);
    beta1 = static_cast<T>(a.beta1);
    beta2 = static_cast<T>(a.beta2);
    rest1 = static_cast<T>(1 - a.beta1);
    rest2 = static_cast<T>(1 - a.beta2);
    eps = static_cast<T>(a.eps);
    rate = static_cast<T>(lr / (1 - std::pow(a.beta1, t)));
    root = static_cast<T>(1 / std::sqrt(1 - std::pow(a.beta2, t)));
  }
};

template <class T>
void adam_range(const AdamScalars<T> s, T* p, const T* grad, T* m, T* v, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * s.clip + s.decay * p[i];
    m[i] = s.beta1 * m[i] + s.rest1 * g;
    v[i] = s.beta2 * v[i] + s.rest2 * g * g;
    p[i] = p[i] * s.shrink - s.rate * (m[i] / (std::sqrt(v[i]) * s.root + s.eps));
  }
}

template <class T>
struct RmspropScalars {
  T clip, decay, alpha, rest, eps, momentum, lr;
  explicit RmspropScalars(const Call& call) {
    const auto& a = call.attr<RmspropAttrs>();
    clip = static_cast<T>(clip_factor<T>(call, a.clip, 5));
    decay = static_cast<T>(a.weight_decay);
    alpha = static_cast<T>(a.alpha);
    rest = static_cast<T>(1 - a.alpha);
    eps = static_cast<T>(a.eps);
    momentum = static_cast<T>(a.momentum);
    lr = static_cast<T>(optim_scalar<T>(call.in[4]));
  }
};

template <class T>
void rmsprop_range(const RmspropScalars<T> s, T* p, const T* grad, T* square, T* buffer, int64_t n) {
  for (int64_t i = 0; i < n; ++i) {
    const T g = grad[i] * s.clip + s.decay * p[i];
    square[i] = s.alpha * square[i] + s.rest * g * g;
    T d = g / (std::sqrt(square[i]) + s.eps);
    if (s.momentum != 0) d = buffer[i] = s.momentum * buffer[i] + d;
    p[i] -= s.lr * d;
  }
}

template <class T>
void grad_norm_ref(const Call& call) {
  const View& x = call.in[0];
  double sum = 0;
  for (int64_t i = 0; i < x.shape.elements(); ++i) sum += double{x.as<T>()[i]} * double{x.as<T>()[i]};
  *call.out[0].as<T>() = static_cast<T>(std::sqrt(sum));
}

template <class T>
void sgd_step_ref(const Call& call) {
  const auto in = call.in;
  sgd_range(SgdScalars<T>(call), in[0].as<T>(), in[1].as<T>(), in[2].as<T>(), in[0].shape.elements());
}

template <class T>
void adam_step_ref(const Call& call) {
  const auto in = call.in;
  adam_range(AdamScalars<T>(call), in[0].as<T>(), in[1].as<T>(), in[2].as<T>(), in[3].as<T>(),
             in[0].shape.elements());
}

template <class T>
void rmsprop_step_ref(const Call& call) {
  const auto in = call.in;
  rmsprop_range(RmspropScalars<T>(call), in[0].as<T>(), in[1].as<T>(), in[2].as<T>(), in[3].as<T>(),
                in[0].shape.elements());
}

}  // namespace mixop::kernels
