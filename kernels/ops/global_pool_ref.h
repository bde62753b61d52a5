// The definition of global average pooling in plain loops.
#pragma once

#include "kernels/ops/global_pool.h"

namespace mixop::kernels {

template <class T>
void global_avg_pool_ref(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const int64_t pixels = x.shape[1] * x.shape[2];
  for (int64_t n = 0; n < x.shape[0]; ++n)
    for (int64_t c = 0; c < x.last(); ++c) {
      double sum = 0;
      for (int64_t r = n * pixels; r < (n + 1) * pixels; ++r) sum += x.as<T>()[r * x.ld + c];
      y.as<T>()[n * y.ld + c] = static_cast<T>(sum / static_cast<double>(pixels));
    }
}

template <class T>
void global_avg_pool_grad_ref(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const int64_t pixels = dx.shape[1] * dx.shape[2];
  for (int64_t r = 0; r < dx.rows(); ++r)
    for (int64_t c = 0; c < dx.last(); ++c) {
      T& out = dx.as<T>()[r * dx.ld + c];
      const T value = dy.as<T>()[r / pixels * dy.ld + c] / static_cast<T>(pixels);
      out = dx.write == Write::kAdd ? out + value : value;
    }
}

}  // namespace mixop::kernels
