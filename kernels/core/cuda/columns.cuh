// Walking over [rows, channels] with channels fixed to threads: what kernels share that keep constants or sums of a
// channel in registers.
#pragma once

#include "kernels/core/cuda/pack.cuh"
#include "kernels/core/cuda/reduce.cuh"

namespace mixop::kernels::cuda {

constexpr int kColumnThreads = 256;
constexpr int kMostColumnChannels = 64;

/// How blocks cover [rows, channels]. A block owns `columns` neighbouring packs of channels (a power of two, at
/// most 32) and `block_rows` rows; neighbouring threads own neighbouring packs, so that loads coalesce.
struct Columns {
  int64_t rows = 0, block_rows = 0;
  int channels = 0, columns = 0;
  dim3 grid;

  Columns() = default;
  /// Every thread gets at least `tile` rows, more when there would be above `most` blocks along the rows.
  Columns(int64_t rows, int64_t channels, int width, int tile, int64_t most)
      : rows(rows), channels(static_cast<int>(channels)), columns(width == 4 ? 16 : 32) {
    const int packs = ceil_div(this->channels, width);
    for (int fewer = columns / 2; fewer >= (width == 4 ? 4 : 8); fewer /= 2)  // the fewest idle threads
      if (ceil_div(packs, fewer) * fewer < ceil_div(packs, columns) * columns) columns = fewer;
    const int64_t least = int64_t{tile} * (kColumnThreads / columns);
    block_rows = ceil_div(ceil_div(rows, most), least) * least;
    if (block_rows < least) block_rows = least;
    grid = dim3(static_cast<unsigned>(ceil_div(rows, block_rows)), static_cast<unsigned>(ceil_div(packs, columns)));
  }
};

/// What a thread owns: kWidth channels from c on, of rows row, row + step, .. below end (none beyond the channels).
template <int kWidth>
struct ColumnPlace {
  int c, step;
  int64_t row, end;

  /// `block` is its place in k.grid.
  __device__ explicit ColumnPlace(const Columns& k, uint3 block = blockIdx) {
    const int thread = static_cast<int>(threadIdx.x);
    c = (static_cast<int>(block.y) * k.columns + thread % k.columns) * kWidth;
    step = kColumnThreads / k.columns;
    const int64_t first = block.x * k.block_rows, last = first + k.block_rows;
    row = first + thread / k.columns;
    end = c >= k.channels ? 0 : last < k.rows ? last : k.rows;
  }
};

/// Loads rows row, row + step, .. of a column, at most kTile of them, and returns how many lie before `end`; the
/// others are zero. All loads are under way at once.
template <int kTile, int kWidth>
__device__ __forceinline__ int load_tile(const ColumnPlace<kWidth>& at, int64_t row, const Stored& x, int64_t ld,
                                         Pack<kWidth> (&tile)[kTile]) {
  Bits<kWidth> bits[kTile];
  int n = 0;
#pragma unroll
  for (int i = 0; i < kTile; ++i) {
    const int64_t r = row + i * at.step;
    bits[i] = {};
    if (r >= at.end) continue;
    bits[i] = x.template bits<kWidth>(r * ld + at.c);
    n = i + 1;
  }
#pragma unroll
  for (int i = 0; i < kTile; ++i) tile[i] = values_of(x, bits[i]);
  return n;
}

/// Sums over the threads of a block that own the same channels, in a fixed order; store(channel, which, sum) is
/// then called once for each channel and sum. All threads must call.
template <int kSums, int kWidth, class Store>
__device__ __forceinline__ void reduce_columns(const Columns& k, double (&v)[kSums][kWidth], Store store,
                                               uint3 block = blockIdx) {
  constexpr int kWarps = kColumnThreads / kWarp;
  constexpr int kMostPartials = kWarps * kMostColumnChannels * kSums;
  MIXOP_SHARED(double, partial, kMostPartials);
  for (int offset = kWarp / 2; offset >= k.columns; offset /= 2)
#pragma unroll
    for (int s = 0; s < kSums; ++s)
#pragma unroll
      for (int j = 0; j < kWidth; ++j) v[s][j] += __shfl_xor_sync(0xFFFFFFFFu, v[s][j], offset);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp, lane = thread % kWarp;
  const int sums = k.columns * kWidth * kSums;
  if (lane < k.columns)
#pragma unroll
    for (int s = 0; s < kSums; ++s)
#pragma unroll
      for (int j = 0; j < kWidth; ++j) partial[warp * sums + (lane * kWidth + j) * kSums + s] = v[s][j];
  __syncthreads();
  const int channel = static_cast<int>(block.y) * k.columns * kWidth + thread / kSums;
  if (thread < sums && channel < k.channels) {
    double sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += partial[w * sums + thread];
    store(channel, thread % kSums, sum);
  }
  __syncthreads();  // the array may be used again at once
}

}  // namespace mixop::kernels::cuda
