// A unit without a depthwise half: z = t(x) w_pw at the pixels that the stride meets. A block takes consecutive
// pixels of z, whatever image they are of, and some columns; x and w_pw pass through shared memory a few channels
// at a time, while registers load the next ones and keep z.
#pragma once

#include "kernels/ops/separable_forward_pointwise.cuh"
#include "kernels/ops/separable_forward_tile.cuh"

namespace mixop::kernels {
namespace {

/// A warp has 64 cells and 16 columns, as in pointwise_from_shared: two warps share the columns of a wide tile, or
/// the cells of a narrow one. Either way a thread copies 8 quads of x at a time.
template <bool kWide>
struct SeparableProduct {
  static constexpr int kCellsOfLane = 8;
  static constexpr int kCells = kWide ? 64 : 128, kColumns = kWide ? 32 : 16, kChannels = kWide ? 32 : 16;
  static constexpr int kParts = kCells / 64;
  static constexpr int kPitch = separable_y_pitch(false, kChannels),
                       kFloats = kCells * kPitch + kChannels * kColumns;
  static constexpr int kQuads = kChannels / 4;  ///< of a cell
  static constexpr int kStep = kSeparableThreads / kQuads;
  static constexpr int kCopies = kCells / kStep, kCopiesOfW = kChannels * kColumns / 4 / kSeparableThreads;
  static_assert(kCopies == 8 && kParts * kColumns / kSeparableGroup == kSeparableWarps);

  /// Pixel of x that pixel p of z reads.
  __device__ static int source(const SeparableForwardUnit& u, int p) {
    if (u.stride == 1 && u.pad == 0) return p;
    const int row = p / u.out_width, h = row % u.out_height * u.stride - u.pad,
              w = p % u.out_width * u.stride - u.pad;
    return (row / u.out_height * u.height + h) * u.width + w;
  }
};

template <bool kWide, bool kTf32, class S>
__device__ __forceinline__ void product_tile(S shared, const SeparableForwardUnit& u, int tile, int columns) {
  using P = SeparableProduct<kWide>;
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp, warp = thread / kWarp;
  const int first_pixel = tile * P::kCells, first_column = columns * P::kColumns, quad = thread % P::kQuads * 4;
  constexpr int kWAt = P::kCells * P::kPitch;
  int from[P::kCopies];  // where the thread's quad of a pixel of x begins, or -1
#pragma unroll
  for (int i = 0; i < P::kCopies; ++i) {
    const int p = first_pixel + thread / P::kQuads + i * P::kStep;
    from[i] = p < u.rows ? P::source(u, p) * u.x_ld + quad : -1;
  }
  float4 x[P::kCopies], w[P::kCopiesOfW];
  const auto fetch = [&](int first) {
    const bool present = first + quad < u.channels;
#pragma unroll
    for (int i = 0; i < P::kCopies; ++i)
      x[i] = from[i] >= 0 && present ? u.x.raw4(from[i] + first) : make_float4(0, 0, 0, 0);
#pragma unroll
    for (int i = 0; i < P::kCopiesOfW; ++i) {
      const int at = (thread + i * kSeparableThreads) * 4, row = first + at / P::kColumns,
                k = first_column + at % P::kColumns;
      w[i] = row < u.channels && k < u.out_channels ? cuda::load4(u.w_pw + int64_t{row} * u.out_channels + k)
                                                    : make_float4(0, 0, 0, 0);
    }
  };
  const int part = kWide ? 0 : warp, column = (kWide ? warp * kSeparableGroup : 0) + lane % 4 * 4;
  const int cell = part * 64 + lane / 4;
  float4 z[P::kCellsOfLane] = {};
  fetch(0);
#pragma unroll 1
  for (int first = 0; first < u.channels; first += P::kChannels) {
    unpack_quads(u.x, x);
    const LoadQuad t(u.load, first + quad < u.channels ? first + quad : 0);
#pragma unroll
    for (int i = 0; i < P::kCopies; ++i)
      cuda::store4(shared, (thread / P::kQuads + i * P::kStep) * P::kPitch + quad, t(x[i]));
#pragma unroll
    for (int i = 0; i < P::kCopiesOfW; ++i) cuda::store4(shared, kWAt + (thread + i * kSeparableThreads) * 4, w[i]);
    __syncthreads();
    if (first + P::kChannels < u.channels) fetch(first + P::kChannels);
    const PointwiseFactors factors{min(P::kChannels, u.channels - first), 0, P::kPitch, kWAt, P::kColumns};
    multiply<P::kCellsOfLane, kTf32>(shared, factors, cell, column, z);
    __syncthreads();
  }
  write_cells<P::kCellsOfLane>(u, z, first_column + column, int64_t{tile} * P::kParts + part,
                               [&](int i) -> int64_t {
                                 const int p = first_pixel + cell + 8 * i;
                                 return p < u.rows ? p : -1;
                               });
}

}  // namespace
}  // namespace mixop::kernels
