// Results that go past the caches. A tensor that would not stay there until its readers come gains nothing from
// passing through them, and a plain store first reads the line that it overwrites.
#pragma once

#include <cstdint>

#include "kernels/core/tensor.h"

namespace mixop::kernels {

/// Whether a CPU kernel that writes every element of `v` once should write it so, in whole vectors: it is large
/// enough, and its rows begin and end with cache lines.
inline bool streams(const View& v) {
  constexpr int64_t kLine = 64, kLarge = 512 << 10;  // bytes; half of a second-level cache or less
  const int64_t row = v.last() * static_cast<int64_t>(sizeof(float));
  return v.dtype == DType::kF32 && v.rows() * row >= kLarge && row % kLine == 0 &&
         v.ld * static_cast<int64_t>(sizeof(float)) % kLine == 0 &&
         reinterpret_cast<uintptr_t>(v.data) % kLine == 0;
}

}  // namespace mixop::kernels
