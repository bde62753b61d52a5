// The block loop is forced inline: copy_cpu.cpp compiles it once more for each instruction set.
#pragma once

#include "kernels/ops/copy.h"

namespace mixop::kernels {

/// y (+)= x on [rows, last] with row strides ldx, ldy.
template <class T>
[[gnu::always_inline]] inline void copy_block(const T* x, int64_t ldx, T* y, int64_t ldy, int64_t rows,
                                              int64_t last, bool add) {
  for (int64_t r = 0; r < rows; ++r, x += ldx, y += ldy) {
    if (add) {
#pragma omp simd
      for (int64_t c = 0; c < last; ++c) y[c] += x[c];
    } else {
#pragma omp simd
      for (int64_t c = 0; c < last; ++c) y[c] = x[c];
    }
  }
}

template <class T>
void copy_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  copy_block(x.as<T>(), x.ld, y.as<T>(), y.ld, x.rows(), x.last(), y.write == Write::kAdd);
}

template <class T>
void fill_ref(const Call& call) {
  const Out& y = call.out[0];
  const T value = static_cast<T>(call.attr<FillAttrs>().value);
  for (int64_t r = 0; r < y.rows(); ++r)
    for (int64_t c = 0; c < y.last(); ++c) y.as<T>()[r * y.ld + c] = value;
}
inline void advance_ref(const Call& call) {
  const View& counter = call.in[0];
  if (counter.dtype == DType::kI32) *counter.as<int32_t>() += 1;
  else with_float(counter.dtype, [&]<class T>() { *counter.as<T>() += 1; });
}

}  // namespace mixop::kernels
