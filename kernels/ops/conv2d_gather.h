// A convolution and its data gradient as gathers (kernels/core/axis.h), so that one kernel serves both. The
// forward pass is one such gather. The data gradient with stride s splits into s gathers an axis, one for each
// position modulo s; each filter element belongs to exactly one of them.
#pragma once

#include "kernels/core/axis.h"
#include "kernels/core/pixel_rows.h"
#include "kernels/ops/conv2d.h"

namespace mixop::kernels {

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

/// The mask of a conv2d_dgrad call.
inline MaskRows make_mask(const Call& call, float* table) {
  const auto& a = call.attr<Conv2dAttrs>();
  if (!a.mask) return {};
  OnLoad norm = a.load;
  norm.relu = false;
  return {call.in[2].as<float>(), call.in[2].ld, make_row_transform(call, norm, 3, a.x.last(), table)};
}

}  // namespace mixop::kernels
