// Reductions of any axes: partial results of the parts of each output element, merged by the block that comes last
// when there is more than one part. How the work is cut depends on shapes alone, not on strides, and so do the
// results.
#pragma once

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>

#include "kernels/core/cuda/merge.cuh"

namespace mixop::kernels::cuda {

/// A walk over some axes in row-major order.
struct Axes {
  int n = 0;
  int64_t extent[kMaxRank] = {}, stride[kMaxRank] = {};

  /// Axes are pushed from the slowest to the fastest; those that lie in memory like one are merged.
  void push(int64_t e, int64_t s) {
    if (e == 1) return;
    if (n > 0 && stride[n - 1] == e * s) {
      extent[n - 1] *= e;
      stride[n - 1] = s;
    } else {
      extent[n] = e;
      stride[n++] = s;
    }
  }
  /// Where element i of the walk lies.
  __device__ __forceinline__ int64_t offset(int64_t i) const {
    int64_t at = 0;
#pragma unroll
    for (int k = kMaxRank - 1; k > 0; --k) {
      if (k >= n) continue;
      const bool small = (i | extent[k]) >> 32 == 0;  // a division of 64 bits takes several times as long
      const int64_t q = small ? static_cast<uint32_t>(i) / static_cast<uint32_t>(extent[k]) : i / extent[k];
      at += (i - q * extent[k]) * stride[k];
      i = q;
    }
    return at + i * stride[0];
  }
};

/// Element i of a view in row-major order.
struct Elements {
  float* data;
  int64_t last, ld;
  __device__ __forceinline__ float& operator[](int64_t i) const {
    return data[ld == last ? i : i / last * ld + i % last];
  }
};
inline Elements elements_of(const View& v) { return {v.as<float>(), v.last(), v.ld}; }

/// A tensor's axes sorted into those that stay, whose walk is over the outputs, and those that go.
struct Reduction {
  Axes kept, gone;
  int64_t outputs = 1, count = 1;
  bool columns = false;  ///< neighbouring elements belong to neighbouring outputs, not to the same one
};

template <class Gone>
Reduction reduction_of(const View& x, Gone&& gone) {
  Reduction r;
  std::array<int64_t, kMaxRank> stride{};
  for (int k = x.shape.rank() - 1, end = k; k >= 0; --k)
    stride[k] = k == end ? 1 : k == end - 1 ? x.ld : stride[k + 1] * x.shape[k + 1];
  for (int k = 0; k < x.shape.rank(); ++k) {
    const bool goes = gone(k);
    (goes ? r.gone : r.kept).push(x.shape[k], stride[k]);
    (goes ? r.count : r.outputs) *= x.shape[k];
    if (x.shape[k] > 1) r.columns = !goes;
  }
  return r;
}

constexpr int kReduceBlock = 256;

/// A block has `slots` outputs with `lanes` threads each; an output is cut into `parts`, one a block.
struct ReduceTiles {
  int lanes, slots;
  int64_t tiles;
  int parts;
};

inline ReduceTiles reduce_tiles(const Reduction& r) {
  const auto power = [](int64_t n, int64_t most) {
    return static_cast<int>(std::bit_ceil(static_cast<uint64_t>(std::clamp<int64_t>(n, 1, most))));
  };
  ReduceTiles t{};
  t.slots = r.columns ? power(r.outputs, kWarp) : kReduceBlock / power(r.count, kReduceBlock);
  t.lanes = kReduceBlock / t.slots;
  t.tiles = ceil_div<int64_t>(r.outputs, t.slots);
  const int64_t most = std::max<int64_t>(1, 1024 / std::max<int64_t>(1, t.tiles));
  t.parts = static_cast<int>(std::clamp<int64_t>(r.count / (t.lanes * 16), 1, most));
  return t;
}

// What is computed, as for merge.cuh, and how an element of output o enters.
struct SumOf : Addition {
  __device__ double take(double sum, float x, int64_t) const { return sum + static_cast<double>(x); }
};
struct MaxOf {
  using Partial = float;
  static constexpr float kNone = -INFINITY;
  __device__ float merge(float a, float b) const { return b > a || b != b ? b : a; }  // a NaN stays
  __device__ float take(float best, float x, int64_t) const { return merge(best, x); }
};
/// The number of elements equal to their output's largest.
struct TiesOf : SumOf {
  Elements best;
  __device__ double take(double n, float x, int64_t o) const { return n + (x == best[o] ? 1 : 0); }
};

/// Where results go: y (+)= scale value.
struct ReduceSink {
  Elements y;
  double scale = 1;
  bool add = false;
  __device__ void write(int64_t o, double value) const {
    float& out = y[o];
    out = static_cast<float>(value * scale) + (add ? out : 0.0f);
  }
};

/// One part of an output in each slot of a block; a thread owns every lanes-th element of it, a tree adds lanes.
template <class R>
__global__ void __launch_bounds__(kReduceBlock)
    reduce_parts(R op, const float* x, Reduction r, ReduceTiles tiles, MergeTree merging,
                 typename R::Partial* partial, unsigned* tickets, ReduceSink sink) {
  wait_for_earlier();
  using Partial = typename R::Partial;
  MIXOP_SHARED(Partial, tree, kReduceBlock);
  const int thread = static_cast<int>(threadIdx.x);
  const int slot = r.columns ? thread % tiles.slots : thread / tiles.lanes;
  const int lane = r.columns ? thread / tiles.slots : thread % tiles.lanes;
  const int64_t o = static_cast<int64_t>(blockIdx.x) * tiles.slots + slot, part = blockIdx.y;
  Partial mine = R::kNone;
  if (o < r.outputs) {
    const float* p = x + r.kept.offset(o);
    const int64_t end = r.count * (part + 1) / tiles.parts;
#pragma unroll 4
    for (int64_t i = r.count * part / tiles.parts + lane; i < end; i += tiles.lanes)
      mine = op.take(mine, p[r.gone.offset(i)], o);
  }
  const int at = lane * tiles.slots + slot;
  tree[at] = mine;
  for (int step = tiles.lanes / 2; step > 0; step /= 2) {
    __syncthreads();
    if (lane < step) tree[at] = op.merge(tree[at], tree[at + step * tiles.slots]);
  }
  if (tiles.parts == 1) {
    if (lane == 0 && o < r.outputs) sink.write(o, static_cast<double>(tree[at]));
    return;
  }
  Partial* const parts = partial + static_cast<int64_t>(blockIdx.x) * tiles.parts * tiles.slots;
  if (lane == 0) parts[part * tiles.slots + slot] = tree[at];
  merge_parts<kReduceBlock>(merging, op, static_cast<int>(part), parts, tiles.slots, tiles.slots,
                            tickets + blockIdx.x * merging.tickets(), [&](int i, Partial value) {
                              const int64_t to = static_cast<int64_t>(blockIdx.x) * tiles.slots + i;
                              if (to < r.outputs) sink.write(to, static_cast<double>(value));
                            });
}

inline size_t reduce_bytes(const Reduction& r) {
  const ReduceTiles t = reduce_tiles(r);
  return t.parts == 1 ? 0 : static_cast<size_t>(t.tiles * t.slots * t.parts) * sizeof(double);
}

/// Starts the kernel; reduce_bytes() of scratch memory begin at `scratch`.
template <class R>
void start_reduce(const Exec& exec, const R& op, const View& x, const Reduction& r, const ReduceSink& sink,
                  int64_t scratch = 0) {
  const ReduceTiles t = reduce_tiles(r);
  const MergeTree merging(t.parts, t.slots, kReduceBlock);
  launch_dependent(exec, "reduce_parts", reduce_parts<R>,
                   dim3(static_cast<unsigned>(t.tiles), static_cast<unsigned>(t.parts)), dim3(kReduceBlock), 0, op,
                   x.as<float>(), r, t, merging, exec.scratch<typename R::Partial>(scratch),
                   tickets_for(exec, t.tiles * merging.tickets()), sink);
}

}  // namespace mixop::kernels::cuda
