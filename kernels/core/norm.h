// What batch normalisation and the fused ops that contain it have in common.
#pragma once

#include "kernels/core/impl.h"

namespace mixop::kernels {

constexpr int kMostRunning = 8;  ///< pairs of running statistics of one call

struct BatchNormAttrs {
  double eps = 1e-5;
  double momentum = 0.1;    ///< weight of the new statistics in the running ones
  bool training = true;     ///< the statistics come from x itself and carry gradient
  bool affine = false;      ///< gamma (and in bn_apply beta) are among the inputs
  int count = 1;            ///< bn_reduce, bn_rstd: norms that they serve, one after the other among the operands
  int running = 0;          ///< bn_stats: pairs of running statistics among the inputs, at most kMostRunning
  bool scaled = false;      ///< the arriving gradient is table[scale_index] * dy; table is the last input
  int64_t scale_index = 0;  ///< element of the flattened table
};

/// M / (M - 1), or 1 when there is one number only.
inline double unbiased_factor(int64_t rows) {
  return rows > 1 ? static_cast<double>(rows) / static_cast<double>(rows - 1) : 1;
}

/// Element of a table of any rank, counted over its flattened shape.
template <class T>
T& flat_element(const View& table, int64_t index) {
  return table.as<T>()[index / table.last() * table.ld + index % table.last()];
}

/// What multiplies the arriving gradient.
template <class T>
T gradient_scale(const Call& call) {
  const auto& a = call.attr<BatchNormAttrs>();
  return a.scaled ? flat_element<T>(call.in.back(), a.scale_index) : T(1);
}

}  // namespace mixop::kernels
