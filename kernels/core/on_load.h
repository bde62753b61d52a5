// Transforms that a kernel applies to an operand while it reads it, so that no normalised or rectified tensor is
// stored:
//   t(x) = relu((x - mean) * (rstd * gamma) + beta), each part optional.
#pragma once

#include "kernels/core/impl.h"

namespace mixop::kernels {

/// Which parts of t are on. With norm, the operand's mean[C] and rstd[C] follow in the call's inputs, and with
/// affine gamma[C] and beta[C] after them.
struct OnLoad {
  bool norm = false, affine = false, relu = false;
  int inputs() const { return norm ? (affine ? 4 : 2) : 0; }
  bool none() const { return !norm && !relu; }
};

/// t as a function of (value, channel); `at` is the index of mean among the call's inputs.
template <class T>
struct Loader {
  const T *mean = nullptr, *rstd = nullptr, *gamma = nullptr, *beta = nullptr;
  bool relu = false;

  Loader(const Call& call, const OnLoad& load, size_t at) : relu(load.relu) {
    if (!load.norm) return;
    mean = call.in[at].as<T>();
    rstd = call.in[at + 1].as<T>();
    if (!load.affine) return;
    gamma = call.in[at + 2].as<T>();
    beta = call.in[at + 3].as<T>();
  }
  T operator()(T x, int64_t c) const {
    if (mean) x = gamma ? (x - mean[c]) * (rstd[c] * gamma[c]) + beta[c] : (x - mean[c]) * rstd[c];
    return relu && x <= 0 ? T(0) : x;
  }
};

}  // namespace mixop::kernels
