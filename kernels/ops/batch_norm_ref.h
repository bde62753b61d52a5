// The definition of batch normalisation in plain loops; sums are kept in double.
#pragma once

#include <cmath>

#include "kernels/core/norm_ref.h"
#include "kernels/core/on_load.h"
#include "kernels/ops/batch_norm.h"

namespace mixop::kernels {

template <class T>
void bn_rstd_ref(const Call& call) {
  const double eps = call.attr<BatchNormAttrs>().eps;
  for (size_t n = 0; n < call.in.size(); ++n)
    for (int64_t c = 0; c < call.in[n].last(); ++c)
      call.out[n].as<T>()[c] = static_cast<T>(1 / std::sqrt(call.in[n].as<T>()[c] + eps));
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
  const double w = gradient_scale<T>(call);
  for (int n = 0; n < call.attr<BatchNormAttrs>().count; ++n) {
    const View* const in = call.in.data() + 4 * n;
    const View &dy = in[0], &x = in[1];
    const T *mean = in[2].as<T>(), *rstd = in[3].as<T>();
    for (int64_t c = 0; c < x.last(); ++c) {
      double s1 = 0, s2 = 0;
      for (int64_t r = 0; r < x.rows(); ++r) {
        const double g = dy.as<T>()[r * dy.ld + c];
        s1 += g;
        s2 += g * (static_cast<double>(x.as<T>()[r * x.ld + c]) - mean[c]);
      }
      call.out[2 * n].as<T>()[c] = static_cast<T>(w * s1);
      call.out[2 * n + 1].as<T>()[c] = static_cast<T>(w * s2 * rstd[c]);
    }
  }
}

}  // namespace mixop::kernels
