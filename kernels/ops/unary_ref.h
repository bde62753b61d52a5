// The relu loops are forced inline: unary_cpu.cpp compiles them once more for each instruction set.
#pragma once

#include <algorithm>
#include <cmath>

#include "kernels/core/parallel.h"
#include "kernels/ops/unary.h"

namespace mixop::kernels {

template <class T>
T sigmoid(T x) {
  return 1 / (1 + std::exp(-x));
}

/// f(x). Comparisons are written so that NaN comes through.
template <Unary kKind, class T>
T unary_value(T x) {
  switch (kKind) {
    case Unary::kIdentity:
      return x;
    case Unary::kRelu:
      return x <= 0 ? T(0) : x;
    case Unary::kSigmoid:
      return sigmoid(x);
    case Unary::kTanh:
      return std::tanh(x);
    case Unary::kGelu:
      return x * T(0.5) * (1 + std::erf(x * T(M_SQRT1_2)));
    case Unary::kSilu:
      return x * sigmoid(x);
    case Unary::kRelu6:
      return x <= 0 ? T(0) : x >= 6 ? T(6) : x;
    case Unary::kHardSwish:
      return x <= -3 ? T(0) : x >= 3 ? x : x * (x + 3) / 6;
    case Unary::kHardSigmoid:
      return x <= -3 ? T(0) : x >= 3 ? T(1) : (x + 3) / 6;
    case Unary::kLeakyRelu:
      return x > 0 ? x : x * T(0.01);
    case Unary::kElu:
      return x > 0 ? x : std::expm1(x);
    case Unary::kSoftplus:
      return x > 20 ? x : std::log1p(std::exp(x));
  }
  return x;
}

/// f'(x); at a kink the side that PyTorch takes.
template <Unary kKind, class T>
T unary_slope(T x) {
  switch (kKind) {
    case Unary::kIdentity:
      return 1;
    case Unary::kRelu:
      return x <= 0 ? 0 : 1;
    case Unary::kSigmoid: {
      const T s = sigmoid(x);
      return s * (1 - s);
    }
    case Unary::kTanh: {
      const T t = std::tanh(x);
      return 1 - t * t;
    }
    case Unary::kGelu:  // Phi(x) + x phi(x), phi the normal density
      return T(0.5) * (1 + std::erf(x * T(M_SQRT1_2))) +
             x * std::exp(x * x * T(-0.5)) * T(0.5 * M_2_SQRTPI * M_SQRT1_2);
    case Unary::kSilu: {
      const T s = sigmoid(x);
      return s * (1 + x * (1 - s));
    }
    case Unary::kRelu6:
      return x <= 0 || x >= 6 ? 0 : 1;
    case Unary::kHardSwish:
      return x < -3 ? T(0) : x > 3 ? T(1) : x / 3 + T(0.5);
    case Unary::kHardSigmoid:
      return x <= -3 || x >= 3 ? T(0) : T(1.0f / 6);  // PyTorch's constant: float32 in float64 as well
    case Unary::kLeakyRelu:
      return x > 0 ? T(1) : T(0.01);
    case Unary::kElu:
      return x > 0 ? T(1) : std::exp(x);
    case Unary::kSoftplus:
      return x > 20 ? T(1) : sigmoid(x);
  }
  return 1;
}

/// Calls f.template operator()<kind>().
template <class F>
void with_unary(Unary kind, F&& f) {
  switch (kind) {
    case Unary::kIdentity:
      return f.template operator()<Unary::kIdentity>();
    case Unary::kRelu:
      return f.template operator()<Unary::kRelu>();
    case Unary::kSigmoid:
      return f.template operator()<Unary::kSigmoid>();
    case Unary::kTanh:
      return f.template operator()<Unary::kTanh>();
    case Unary::kGelu:
      return f.template operator()<Unary::kGelu>();
    case Unary::kSilu:
      return f.template operator()<Unary::kSilu>();
    case Unary::kRelu6:
      return f.template operator()<Unary::kRelu6>();
    case Unary::kHardSwish:
      return f.template operator()<Unary::kHardSwish>();
    case Unary::kHardSigmoid:
      return f.template operator()<Unary::kHardSigmoid>();
    case Unary::kLeakyRelu:
      return f.template operator()<Unary::kLeakyRelu>();
    case Unary::kElu:
      return f.template operator()<Unary::kElu>();
    case Unary::kSoftplus:
      return f.template operator()<Unary::kSoftplus>();
  }
}

/// Calls f(row) for every row, in parallel bands of about 4k elements.
template <class F>
void unary_rows(const Call& call, const View& x, F&& f) {
  const int64_t rows = x.rows(), tasks = std::clamp<int64_t>(x.shape.elements() >> 12, 1, rows);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

template <class T>
void unary_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  with_unary(call.attr<UnaryAttrs>().kind, [&]<Unary kKind>() {
    unary_rows(call, x, [&](int64_t r) {
      const T* xr = x.as<T>() + r * x.ld;
      T* yr = y.as<T>() + r * y.ld;
      for (int64_t c = 0; c < x.last(); ++c) yr[c] = unary_value<kKind>(xr[c]);
    });
  });
}

template <class T>
void unary_grad_ref(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const bool add = dx.write == Write::kAdd;
  with_unary(call.attr<UnaryAttrs>().kind, [&]<Unary kKind>() {
    unary_rows(call, x, [&](int64_t r) {
      const T *dyr = dy.as<T>() + r * dy.ld, *xr = x.as<T>() + r * x.ld;
      T* dxr = dx.as<T>() + r * dx.ld;
      for (int64_t c = 0; c < x.last(); ++c) {
        const T g = dyr[c] * unary_slope<kKind>(xr[c]);
        dxr[c] = add ? dxr[c] + g : g;
      }
    });
  });
}

/// y = relu(x) on [rows, last].
template <class T>
[[gnu::always_inline]] inline void relu_block(const T* x, int64_t ldx, T* y, int64_t ldy, int64_t rows,
                                              int64_t last) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, y += ldy) {
#pragma omp simd
    for (int64_t c = 0; c < last; ++c) y[c] = x[c] <= 0 ? T(0) : x[c];
  }
}

template <class T>
struct ReluGradRows {
  const T *dy, *x;
  T* dx;
  int64_t lddy, ldx, lddx, rows, last;
};

/// dx (+)= dy where not t(x) <= 0, on [rows, last].
template <class T, bool kAdd>
[[gnu::always_inline]] inline void relu_grad_block(ReluGradRows<T> b, const Loader<T>& load) {
  const auto pass = [](T dx, T dy, T t) { return (kAdd ? dx : T(0)) + (t <= 0 ? T(0) : dy); };
  for (int64_t r = 0; r < b.rows; ++r, b.dy += b.lddy, b.x += b.ldx, b.dx += b.lddx) {
    if (load.gamma) {
#pragma omp simd
      for (int64_t c = 0; c < b.last; ++c) {
        const T t = (b.x[c] - load.mean[c]) * (load.rstd[c] * load.gamma[c]) + load.beta[c];
        b.dx[c] = pass(b.dx[c], b.dy[c], t);
      }
    } else if (load.mean) {
#pragma omp simd
      for (int64_t c = 0; c < b.last; ++c) {
        b.dx[c] = pass(b.dx[c], b.dy[c], (b.x[c] - load.mean[c]) * load.rstd[c]);
      }
    } else {
#pragma omp simd
      for (int64_t c = 0; c < b.last; ++c) b.dx[c] = pass(b.dx[c], b.dy[c], b.x[c]);
    }
  }
}

template <class T>
void relu_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  relu_block(x.as<T>(), x.ld, y.as<T>(), y.ld, x.rows(), x.last());
}

template <class T>
void relu_grad_ref(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const bool add = dx.write == Write::kAdd;
  OnLoad norm = call.attr<ReluGradAttrs>().load;
  norm.relu = false;
  const Loader<T> load(call, norm, 2);
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.last(); ++c) {
      const T g = load(x.as<T>()[r * x.ld + c], c) <= 0 ? T(0) : dy.as<T>()[r * dy.ld + c];
      T& out = dx.as<T>()[r * dx.ld + c];
      out = add ? out + g : g;
    }
  }
}

}  // namespace mixop::kernels
