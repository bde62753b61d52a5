// One axis of a gather, the form of a convolution and of its data gradient:
//   out[first + i * out_step] = sum_t w[filter[t]] * in[i * in_step + offset[t]],  0 <= i < count,  in[] 0 outside.
#pragma once

#include <algorithm>
#include <array>
#include <cstdint>

namespace mixop::kernels {

struct Axis {
  static constexpr int kMaxTaps = 32;
  int64_t in = 1, out = 1;  ///< extents of the whole axis
  int64_t first = 0, out_step = 1, count = 1, in_step = 1;
  int taps = 0;
  std::array<int, kMaxTaps> offset, filter;  ///< offsets ascend evenly

  int64_t min_offset() const { return taps ? offset[0] : 0; }
  /// Input positions from the first to the last tap of one output.
  int64_t span() const { return taps ? offset[taps - 1] - offset[0] + 1 : 0; }
  /// Some output reads input position i * in_step + min_offset() + q, 0 <= q < in_step.
  bool reads(int64_t q) const {
    const int64_t base = min_offset();
    return std::any_of(offset.begin(), offset.begin() + taps, [&](int o) { return (o - base) % in_step == q; });
  }
};

/// A convolution along one axis, from an extent `in` to an extent `out`: ih = oh * stride - pad + r * dilation.
inline Axis forward_axis(int kernel, int stride, int pad, int dilation, int64_t in, int64_t out) {
  Axis x;
  x.in = in, x.out = x.count = out;
  x.in_step = stride;
  for (; x.taps < kernel; ++x.taps) {
    x.offset[x.taps] = x.taps * dilation - pad;
    x.filter[x.taps] = x.taps;
  }
  return x;
}

/// Its transpose, from the gradient of the convolution's output (extent `in`) to that of its input (extent `out`):
/// with stride s it splits into s gathers, one for each position modulo s; each filter element belongs to exactly
/// one of them. phase < stride.
inline Axis transposed_axis(int kernel, int stride, int pad, int dilation, int64_t in, int64_t out, int64_t phase) {
  Axis x;
  x.in = in, x.out = out;
  x.first = phase, x.out_step = stride;
  x.count = std::max<int64_t>(0, (out - phase + stride - 1) / stride);
  for (int r = kernel - 1; r >= 0; --r) {
    const int64_t at = phase + pad - int64_t{r} * dilation;
    if (at % stride) continue;
    x.offset[x.taps] = static_cast<int>(at / stride);
    x.filter[x.taps++] = r;
  }
  return x;
}

}  // namespace mixop::kernels
