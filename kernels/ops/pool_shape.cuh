// The geometry of a pooling as kernels read it; offsets within an image fit 32 bits.
#pragma once

#include <limits>

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/pack.cuh"
#include "kernels/ops/pool.h"

namespace mixop::kernels::cuda {

/// PoolAxis in 32 bits.
struct PoolAxis32 {
  int size, outputs, kernel, stride, pad, dilation;
  bool include_pad;

  explicit PoolAxis32(const PoolAxis& a)
      : size(static_cast<int>(a.size)),
        outputs(static_cast<int>(a.outputs())),
        kernel(static_cast<int>(a.kernel)),
        stride(static_cast<int>(a.stride)),
        pad(static_cast<int>(a.pad)),
        dilation(static_cast<int>(a.dilation)),
        include_pad(a.include_pad) {}

  /// Where window o begins; may be negative.
  __device__ __forceinline__ int begin(int o) const { return o * stride - pad; }
  __device__ __forceinline__ bool inside(int i) const { return i >= 0 && i < size; }
  /// The cell inside that is nearest to i.
  __device__ __forceinline__ int nearest(int i) const { return min(max(i, 0), size - 1); }
  /// What an average over window o divides by, along this axis.
  __device__ __forceinline__ int divisor(int o) const {
    const int from = begin(o), to = min(from + kernel, size + pad);
    return include_pad ? to - from : min(to, size) - max(from, 0);
  }
  /// The windows between whose first and last cell i lies are first_window(i) to last_window(i).
  __device__ __forceinline__ int first_window(int i) const {
    return max(0, (i + pad - (kernel - 1) * dilation + stride - 1) / stride);
  }
  __device__ __forceinline__ int last_window(int i) const { return min(outputs - 1, (i + pad) / stride); }
  /// The window that is nearest to what would be window o.
  __device__ __forceinline__ int nearest_window(int o) const { return min(max(o, 0), outputs - 1); }
  /// Which tap of window o cell i is, or -1: between two taps.
  __device__ __forceinline__ int tap(int i, int o) const {
    const int distance = i - begin(o);
    return distance % dilation ? -1 : distance / dilation;
  }
  /// The first tap of window o that lies inside.
  __device__ __forceinline__ int first_tap(int o) const { return (max(0, -begin(o)) + dilation - 1) / dilation; }
};

struct PoolShape {
  PoolAxis32 v, h;
  int images, channels;

  PoolShape(const PoolAttrs& a, const Shape& x)
      : v(PoolAxis(a, x, 0)),
        h(PoolAxis(a, x, 1)),
        images(static_cast<int>(x[0])),
        channels(static_cast<int>(x.last())) {}
};

constexpr int kPoolThreads = 128;
constexpr int kMostImages = 65535;  // blocks along y; kernels walk over further images

/// Blocks of `threads` for `items` of each image.
inline dim3 image_grid(int items, int images, int threads = kPoolThreads) {
  return dim3(static_cast<unsigned>(ceil_div(items, threads)),
              static_cast<unsigned>(images < kMostImages ? images : kMostImages));
}

/// The row stride of [N, H, W, C], after a check that offsets within an image fit 32 bits.
inline int image_ld(const View& v) {
  MIXOP_CHECK(v.shape[1] * v.shape[2] * v.ld <= std::numeric_limits<int>::max(), "pooling: images of ", v.shape,
              " are too large");
  return static_cast<int>(v.ld);
}

/// Images [N, H, W, C] as they lie in memory.
struct Images : Stored {
  int ld = 0;

  Images() = default;
  explicit Images(const View& v) : Stored(v), ld(image_ld(v)) {}
  /// Where a pixel of image n begins, `pixels` to the image.
  __device__ __forceinline__ int64_t at(int n, int pixels, int pixel) const {
    return static_cast<int64_t>(n) * (pixels * ld) + pixel * ld;
  }
};

/// Image `image` of rows of `ld` elements, `pixels` to the image.
template <class T>
__device__ __forceinline__ T* image_of(T* data, int image, int pixels, int ld) {
  return data + static_cast<int64_t>(image) * (pixels * ld);
}

/// p, or zeros. Kernels load the nearest cell there is and then choose: loads without branches overlap.
template <int kWidth>
__device__ __forceinline__ Pack<kWidth> only_if(bool condition, Pack<kWidth> p) {
  for (int j = 0; j < kWidth; ++j) p[j] = condition ? p[j] : 0.0f;
  return p;
}

/// Does `value` replace the maximum so far? A NaN always does, and is then replaced by another NaN only.
__device__ __forceinline__ bool beats(float value, float best) { return value > best || value != value; }

/// 3x3 windows of one stride, 1 or 2, without dilation: the pools of cell search spaces.
inline bool is_3x3(const PoolAttrs& a) {
  return a.kernel == std::array{3, 3} && a.dilation == std::array{1, 1} && a.stride[0] == a.stride[1] &&
         a.stride[0] <= 2;
}

/// Its geometry with everything as constants that is known while compiling.
template <int kStride>
__device__ __forceinline__ PoolShape as_3x3(PoolShape s) {
  s.v.kernel = s.h.kernel = 3;
  s.v.stride = s.h.stride = kStride;
  s.v.dilation = s.h.dilation = 1;
  return s;
}

/// Calls f.template operator()<stride>() for the stride of such a pooling.
template <class F>
void with_stride(const PoolAttrs& a, F&& f) {
  if (a.stride[0] == 1) f.template operator()<1>();
  else f.template operator()<2>();
}

}  // namespace mixop::kernels::cuda
