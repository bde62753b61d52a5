// A convolution and its data gradient as one form, so that one kernel serves both. Along each axis
//   out[first + i * out_step] = sum_t w[filter[t]] * in[i * in_step + offset[t]],  0 <= i < count,  in[] 0 outside.
// The forward pass is one such gather. The data gradient with stride s splits into s gathers an axis, one for each
// position modulo s; each filter element belongs to exactly one of them.
#pragma once

#include <algorithm>

#include "kernels/ops/conv2d.h"

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

inline bool conv2d_fits_axis(const Conv2dAttrs& a) { return std::max(a.kernel[0], a.kernel[1]) <= Axis::kMaxTaps; }

inline Axis forward_axis(const Conv2dAttrs& a, int axis, int64_t in, int64_t out) {
  Axis x;
  x.in = in, x.out = x.count = out;
  x.in_step = a.stride[axis];
  for (; x.taps < a.kernel[axis]; ++x.taps) {
    x.offset[x.taps] = x.taps * a.dilation[axis] - a.pad_begin[axis];
    x.filter[x.taps] = x.taps;
  }
  return x;
}

/// in is an extent of dy, out of dx; phase < stride. From ih = oh * stride - pad + r * dilation.
inline Axis dgrad_axis(const Conv2dAttrs& a, int axis, int64_t in, int64_t out, int64_t phase) {
  Axis x;
  const int64_t stride = a.stride[axis];
  x.in = in, x.out = out;
  x.first = phase, x.out_step = stride;
  x.count = std::max<int64_t>(0, (out - phase + stride - 1) / stride);
  for (int r = a.kernel[axis] - 1; r >= 0; --r) {
    const int64_t at = phase + a.pad_begin[axis] - int64_t{r} * a.dilation[axis];
    if (at % stride) continue;
    x.offset[x.taps] = static_cast<int>(at / stride);
    x.filter[x.taps++] = r;
  }
  return x;
}

/// All gathers of one call, in a fixed order.
struct Gathers {
  const Conv2dAttrs* attrs;
  bool dgrad;
  int64_t in[2], out[2];

  int64_t size() const { return dgrad ? int64_t{attrs->stride[0]} * attrs->stride[1] : 1; }
  Axis axis(int64_t gather, int which) const {
    if (!dgrad) return forward_axis(*attrs, which, in[which], out[which]);
    const int64_t phase = which == 0 ? gather / attrs->stride[1] : gather % attrs->stride[1];
    return dgrad_axis(*attrs, which, in[which], out[which], phase);
  }
  int64_t taps(int64_t gather) const { return int64_t{axis(gather, 0).taps} * axis(gather, 1).taps; }
};

}  // namespace mixop::kernels
