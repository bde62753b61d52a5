// The gradient of avg_pool on CUDA, as a gather, of what a gradient of pool_gradient.cuh gives.
#pragma once

#include "kernels/ops/pool_gradient.cuh"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels::cuda {

/// dx (+)= sum of the arriving gradient / divisor over the windows that cover a pixel: a thread owns a pack of
/// channels of one pixel of x.
template <int kWidth, class Gradient>
__global__ void __launch_bounds__(kPoolThreads, 8)
    avg_pool_grad_plain(PoolShape s, Gradient gradient, bool add, float* __restrict__ dx, int lddx) {
  const int packs = s.channels / kWidth, pixels = s.v.size * s.h.size;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yi = pixel / s.h.size, xi = pixel % s.h.size;
  if (pixel >= pixels) return;
  const auto arriving = gradient.template channels<kWidth>(c);
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    auto total = filled<kWidth>(0);
    for (int yo = s.v.first_window(yi); yo <= s.v.last_window(yi); ++yo)
      for (int xo = s.h.first_window(xi); xo <= s.h.last_window(xi); ++xo) {
        const auto g = arriving.load(n, yo * s.h.outputs + xo);
        add_scaled(total, g, __frcp_rn(static_cast<float>(s.v.divisor(yo) * s.h.divisor(xo))));
      }
    write_pack(image_of(dx, n, pixels, lddx) + pixel * lddx + c, total, add);
  }
}

/// The same for 3x3 windows: a thread owns 4 channels of kStrip pixels of x below each other, and combines each row
/// of windows once for the pixels that share it.
template <int kStride, class Gradient>
__global__ void __launch_bounds__(kPoolThreads)
    avg_pool_grad_3x3(PoolShape shape, Gradient gradient, bool add, float* __restrict__ dx, int lddx) {
  constexpr int kRows = kStride == 1 ? kStrip + 2 : kStrip / 2 + 1, kColumns = kStride == 1 ? 3 : 2;
  const PoolShape s = as_3x3<kStride>(shape);
  const int packs = s.channels / 4, columns = s.h.size * packs;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int first = item / columns * kStrip, xi = item % columns / packs, c = item % packs * 4;
  if (first >= s.v.size) return;
  const int yo = (first + s.v.pad - 3 + kStride) / kStride;  // may be outside: what a row covers is then a constant
  const int xo = s.h.first_window(xi), last = s.h.last_window(xi);
  float factors[kColumns];
#pragma unroll
  for (int k = 0; k < kColumns; ++k) factors[k] = 1.0f / static_cast<float>(s.h.divisor(min(xo + k, last)));
  const auto arriving = gradient.template channels<4>(c);
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    Pack<4> total[kStrip];
#pragma unroll
    for (int o = 0; o < kStrip; ++o) total[o] = filled<4>(0);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int near = s.v.nearest_window(yo + i), covered = s.v.begin(yo + i) - first;
      Pack<4> row = filled<4>(0);
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const auto g = arriving.load(n, near * s.h.outputs + min(xo + k, last));
        add_scaled(row, only_if(near == yo + i && xo + k <= last, g), factors[k]);
      }
      const float factor = 1.0f / static_cast<float>(s.v.divisor(near));
#pragma unroll
      for (int o = 0; o < kStrip; ++o)
        if (o >= covered && o < covered + 3) add_scaled(total[o], row, factor);
    }
    float* out = image_of(dx, n, s.v.size * s.h.size, lddx) + c;
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      if (first + o >= s.v.size) break;
      write_pack(out + ((first + o) * s.h.size + xi) * lddx, total[o], add);
    }
  }
}

/// Output 0 is dx; `strips` asks for the kernel of 3x3 windows, which needs rows of 16 bytes.
template <class Gradient>
void launch_avg_grad(const Call& call, const PoolAttrs& pool, const Shape& x, const Gradient& gradient,
                     bool aligned, bool strips) {
  const Out& dx = call.out[0];
  const PoolShape s(pool, x);
  const bool add = dx.write == Write::kAdd;
  if (aligned && aligned4(dx) && strips)
    return with_stride(pool, [&]<int kStride>() {
      const int items = ceil_div(s.v.size, kStrip) * s.h.size * (s.channels / 4);
      launch(*call.exec, "avg_pool_grad_3x3", avg_pool_grad_3x3<kStride, Gradient>, image_grid(items, s.images),
             kPoolThreads, 0, s, gradient, add, dx.as<float>(), image_ld(dx));
    });
  with_width(aligned && aligned4(dx), [&]<int kWidth>() {
    const int items = s.v.size * s.h.size * (s.channels / kWidth);
    launch(*call.exec, "avg_pool_grad_plain", avg_pool_grad_plain<kWidth, Gradient>, image_grid(items, s.images),
           kPoolThreads, 0, s, gradient, add, dx.as<float>(), image_ld(dx));
  });
}

}  // namespace mixop::kernels::cuda
