// Depthwise convolutions of any kernel, stride, dilation, padding and number of channels: one thread an element.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/loader.cuh"
#include "kernels/ops/conv2d.h"

namespace mixop::kernels {
namespace {

struct PlainAxis {
  int64_t x, y;  ///< extents of the convolution's input and output
  int kernel, stride, pad, dilation;

  PlainAxis(const Conv2dAttrs& a, int axis, const Shape& x_shape, const Shape& y_shape)
      : x(x_shape[1 + axis]),
        y(y_shape[1 + axis]),
        kernel(a.kernel[axis]),
        stride(a.stride[axis]),
        pad(a.pad_begin[axis]),
        dilation(a.dilation[axis]) {}

  /// The input position that filter element r brings to output o, or -1.
  __device__ __forceinline__ int64_t input_of(int64_t o, int r) const {
    const int64_t i = o * stride - pad + int64_t{r} * dilation;
    return i < x ? i : -1;
  }
  /// The output to which filter element r brings input position i, or -1.
  __device__ __forceinline__ int64_t output_of(int64_t i, int r) const {
    const int64_t at = i + pad - int64_t{r} * dilation;
    return at >= 0 && at % stride == 0 && at / stride < y ? at / stride : -1;
  }
};

struct PlainArgs {
  PlainAxis h, w;
  const float* in;
  int64_t in_ld;
  const float* filter;
  float* out;
  int64_t out_ld, elements, channels;
  bool add;
  const float* mask;
  int64_t mask_ld;
  cuda::DeviceLoader load;  ///< of in, or of mask
};

/// y[p, c] = sum_{r, s} t(x)[p moved by (r, s), c] w[r, s, c]; dx (kGradient) likewise of dy, and 0 where
/// t(mask) <= 0. A thread owns elements.
template <bool kGradient>
__global__ void depthwise_plain(const PlainArgs a) {
  cuda::wait_for_earlier();
  const int64_t height = kGradient ? a.h.x : a.h.y, width = kGradient ? a.w.x : a.w.y;
  const int64_t in_height = kGradient ? a.h.y : a.h.x, in_width = kGradient ? a.w.y : a.w.x;
  const int64_t first = int64_t{blockIdx.x} * blockDim.x + threadIdx.x;
  for (int64_t e = first; e < a.elements; e += int64_t{gridDim.x} * blockDim.x) {
    const int c = static_cast<int>(e % a.channels);
    const int64_t pixel = e / a.channels, row = pixel / width % height, column = pixel % width;
    const float* const image = a.in + pixel / width / height * in_height * in_width * a.in_ld + c;
    float sum = 0;
    for (int r = 0; r < a.h.kernel; ++r) {
      const int64_t ih = kGradient ? a.h.output_of(row, r) : a.h.input_of(row, r);
      if (ih < 0) continue;
      for (int s = 0; s < a.w.kernel; ++s) {
        const int64_t iw = kGradient ? a.w.output_of(column, s) : a.w.input_of(column, s);
        if (iw < 0) continue;
        const float v = image[(ih * in_width + iw) * a.in_ld];
        sum = fmaf(kGradient ? v : a.load(v, c), a.filter[(int64_t{r} * a.w.kernel + s) * a.channels + c], sum);
      }
    }
    if (a.mask && a.load(a.mask[pixel * a.mask_ld + c], c) <= 0) sum = 0;
    float& to = a.out[pixel * a.out_ld + c];
    to = a.add ? to + sum : sum;
  }
}

}  // namespace
}  // namespace mixop::kernels
