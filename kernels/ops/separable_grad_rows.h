// The elementwise ends of separable_grad: dz as it is read, dx as it is written. Per instruction set.
#pragma once

#include "kernels/core/pixel_rows.h"

namespace mixop::kernels {

/// dz = factor * dy_scale * dy + z_scale * z + shift: a number for all rows and tables [K] that are readable in
/// whole vectors.
struct NormGradientRows {
  const float *dy, *z;
  int64_t ld_dy, ld_z;
  float factor;
  const float *dy_scale, *z_scale, *shift;
  int64_t pixels, channels;
  float* to;  ///< [pixel][channel]; lanes past the channels, up to a whole vector, are written too
  int64_t ld_to;
};

/// to = or += dx, but 0 in place of dx where t has a relu and t(x) <= 0.
struct MaskedRows {
  const float* dx;  ///< [pixel][channel], readable in whole vectors
  int64_t ld_dx;
  const float* x;
  int64_t ld_x;
  RowTransform t;
  int64_t pixels, channels;
  float* to;
  int64_t ld_to;
  bool add;
  bool stream;  ///< to, see core/stream.h; not with add
  /// Or null: s1[lane] += dx, s2[lane] += dx * (x - mean); lane c and, where C divides the vector, every C-th lane
  /// from there on belong to channel c. t has a norm then.
  float *s1, *s2;
};

struct SeparableGradRows {
  void (*norm_gradient)(const NormGradientRows&);
  void (*masked)(const MaskedRows&);
};
SeparableGradRows separable_grad_rows();

}  // namespace mixop::kernels
