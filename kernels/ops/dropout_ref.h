// The block loops are forced inline: dropout_cpu.cpp compiles them once more for each instruction set.
#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/core/rng.h"
#include "kernels/ops/dropout.h"

namespace mixop::kernels {

constexpr int kPhiloxBlock = 64;  // numbers that the fast mask draws at once

/// A [1] tensor of any type.
inline double scalar_of(const View& v) {
  if (v.dtype == DType::kF64) return *v.as<double>();
  return v.dtype == DType::kF32 ? static_cast<double>(*v.as<float>()) : static_cast<double>(*v.as<int32_t>());
}

/// Index of the first random number of this step.
inline uint64_t bernoulli_first(const Call& call) {
  return static_cast<uint64_t>(scalar_of(call.in[0])) * static_cast<uint64_t>(call.out[0].shape.elements());
}
inline float bernoulli_keep(const Call& call) {
  return static_cast<float>(call.in.size() > 1 ? scalar_of(call.in[1]) : call.attr<BernoulliAttrs>().keep);
}

template <class T>
void bernoulli_ref(const Call& call) {
  const Out& y = call.out[0];
  const auto& attrs = call.attr<BernoulliAttrs>();
  const uint64_t first = bernoulli_first(call);
  const float keep = bernoulli_keep(call);
  const int64_t n = y.shape.elements(), last = y.last(), tasks = std::clamp<int64_t>(n >> 11, 1, n);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(n, tasks, task);
    for (int64_t i = begin; i < end; ++i) {
      const uint32_t bits = philox(attrs.seed, attrs.stream, first + static_cast<uint64_t>(i))[0];
      y.as<T>()[i / last * y.ld + i % last] = uniform24(bits) < keep ? 1 : 0;
    }
  });
}

/// True when the mask has one number a sample.
inline bool per_sample(const View& x, const View& mask) { return !(mask.shape == x.shape); }

/// 1 / keep, or 0.
inline double mask_factor(const Call& call) {
  const double keep = call.in.size() > 2 ? scalar_of(call.in[2]) : call.attr<MaskScaleAttrs>().keep;
  return keep == 0 ? 0 : 1 / keep;
}

template <class T>
void mask_scale_ref(const Call& call) {
  const View &x = call.in[0], &mask = call.in[1];
  const Out& y = call.out[0];
  const T factor = static_cast<T>(mask_factor(call));
  const int64_t sample = x.shape.elements() / x.shape[0];
  const auto mask_at = [&](int64_t i) { return mask.as<T>()[i / mask.last() * mask.ld + i % mask.last()]; };
  for (int64_t r = 0; r < x.rows(); ++r) {
    for (int64_t c = 0; c < x.last(); ++c) {
      const int64_t i = r * x.last() + c;
      T& out = y.as<T>()[r * y.ld + c];
      const T v = x.as<T>()[r * x.ld + c] * (mask_at(per_sample(x, mask) ? i / sample : i) * factor);
      out = y.write == Write::kAdd ? out + v : v;
    }
  }
}

/// Rows of x, y and a full mask; without a mask (null) only the factor counts.
template <class T>
struct MaskRows {
  const T *x, *mask;
  T* y;
  int64_t ldx, ldmask, ldy, rows, last;
};

/// y (+)= x mask factor.
template <class T, bool kAdd>
[[gnu::always_inline]] inline void mask_block(MaskRows<T> b, T factor) {
  for (int64_t r = 0; r < b.rows; ++r, b.x += b.ldx, b.y += b.ldy) {
    if (b.mask) {
#pragma omp simd
      for (int64_t c = 0; c < b.last; ++c) b.y[c] = (kAdd ? b.y[c] : T(0)) + b.x[c] * (b.mask[c] * factor);
      b.mask += b.ldmask;
    } else {
#pragma omp simd
      for (int64_t c = 0; c < b.last; ++c) b.y[c] = (kAdd ? b.y[c] : T(0)) + b.x[c] * factor;
    }
  }
}

}  // namespace mixop::kernels
