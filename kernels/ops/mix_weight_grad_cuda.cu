// The gradient of the mixed operation's table: all dot products in one pass over G, then one small merge.
#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/mix_terms.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kBlock = 256, kWarps = kBlock / kWarp, kMergeBlock = 512;
constexpr int64_t kMaxBlocks = 1024;

/// How blocks share the rows; a function of the shape alone, so that strides cannot change a bit of the sums.
struct Tiles {
  int lanes, depth;       ///< channels and rows of a thread
  int columns, rows;      ///< threads across and down
  int64_t across, count;  ///< tiles side by side, and in all
  int blocks;
};

Tiles tiles_of(const Extent& e) {
  Tiles t{};
  t.lanes = e.last % 4 == 0 ? 4 : 1;
  t.depth = four_rows(e, t.lanes) ? 4 : 1;
  const int64_t columns = e.last / t.lanes;
  t.columns = static_cast<int>(std::clamp<int64_t>(columns, 1, kBlock));
  t.rows = kBlock / t.columns;
  t.across = ceil_div<int64_t>(columns, t.columns);
  t.count = t.across * ceil_div<int64_t>(e.rows, t.rows * t.depth);
  t.blocks = static_cast<int>(std::min(t.count, kMaxBlocks));
  return t;
}

/// partial[t, block] = sum of G t_t(z_t) over the block's tiles; a thread owns kLanes channels of kRows rows of a
/// tile, a warp adds up its threads, and the block its warps.
template <int kLanes, int kRows, bool kAligned>
__global__ void __launch_bounds__(kBlock, 2)
    mix_weight_grad_tiles(MixTerms terms, Rows g, Extent e, Tiles tiles, float* partial) {
  MIXOP_SHARED(float, sums, kMaxTerms* kWarps);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  const int down = thread / tiles.columns, across = thread - down * tiles.columns;
  for (int i = thread; i < terms.count * kWarps; i += kBlock) sums[i] = 0;
  __syncthreads();
  for (int64_t tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const int64_t tile_row = tile / tiles.across;
    const int64_t c = ((tile - tile_row * tiles.across) * tiles.columns + across) * kLanes;
    const int64_t first = tile_row * tiles.rows * kRows + down;
    const bool mine = down < tiles.rows && c < e.last && first < e.rows;
    const auto patch = [&](Rows from) {
      return load_patch<kLanes, kRows, kAligned>(from, e.rows, first, tiles.rows, c);
    };
    Patch<kLanes, kRows> grad{}, next{};
    if (mine) {
      grad = patch(g);
      next = patch(terms.term[0].z);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
        if (first + i * tiles.rows >= e.rows) grad.row[i] = {};
    }
    for (int t = 0; t < terms.count; ++t) {
      const Patch<kLanes, kRows> z = next;
      float sum = 0;
      if (mine) {
        if (t + 1 < terms.count) next = patch(terms.term[t + 1].z);
        const OwnTransform<kLanes> transform = own_transform<kLanes, kAligned>(terms.term[t].load, c);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
          for (int l = 0; l < kLanes; ++l) sum = fmaf(grad.row[i].v[l], transform(z.row[i].v[l], l), sum);
      }
      sum = warp_sum(sum);
      if (thread % kWarp == 0) sums[t * kWarps + warp] += sum;
    }
  }
  __syncthreads();
  for (int t = thread; t < terms.count; t += kBlock) {
    float sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += sums[t * kWarps + w];
    partial[t * gridDim.x + blockIdx.x] = sum;
  }
}

/// The places in dtable to which the terms of one launch add.
struct Places {
  int count;
  std::array<int64_t, kMaxTerms> place;
};

/// dtable[place_t] += sum over blocks of partial[t, block], in term order, after zeroing dtable when `set`. One
/// block: a warp sums a term, then a thread owns each place named.
__global__ void __launch_bounds__(kMergeBlock)
    mix_weight_grad_merge(Places places, const float* partial, int blocks, Rows dtable, Extent e, bool set) {
  MIXOP_SHARED(double, sums, kMaxTerms);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  for (int t = thread / kWarp; t < places.count; t += kMergeBlock / kWarp) {
    double sum = 0;
    for (int b = lane; b < blocks; b += kWarp) sum += static_cast<double>(partial[t * blocks + b]);
    sum = warp_sum(sum);
    if (lane == 0) sums[t] = sum;
  }
  if (set)
    for (int64_t i = thread; i < e.rows * e.last; i += kMergeBlock)
      dtable.data[i / e.last * dtable.ld + i % e.last] = 0;
  __syncthreads();
  for (int t = thread; t < places.count; t += kMergeBlock) {
    bool first = true;
    for (int u = 0; u < t; ++u) first = first && places.place[u] != places.place[t];
    if (!first) continue;
    double sum = static_cast<double>(dtable.data[places.place[t]]);
    for (int u = t; u < places.count; ++u)
      if (places.place[u] == places.place[t]) sum += sums[u];
    dtable.data[places.place[t]] = static_cast<float>(sum);
  }
}

Extent extent_of(const View& v) { return {v.rows(), v.last()}; }

size_t workspace(const Call& call) {
  return static_cast<size_t>(tiles_of(extent_of(call.in[0])).blocks) * kMaxTerms * sizeof(float);
}

template <int kRows>
auto tiles_kernel(const Tiles& tiles, bool aligned) {
  if (tiles.lanes == 1) return mix_weight_grad_tiles<1, kRows, true>;
  return aligned ? mix_weight_grad_tiles<4, kRows, true> : mix_weight_grad_tiles<4, kRows, false>;
}

void run(const Call& call) {
  const View& table = call.out[0];
  const Extent e = extent_of(call.in[0]);
  const Rows g = {call.in[0].as<float>(), call.in[0].ld};
  const Tiles tiles = tiles_of(e);
  auto* partial = call.exec->scratch<float>();
  for (size_t begin = 0; begin < call.attr<MixAttrs>().terms.size(); begin += kMaxTerms) {
    const MixTerms terms = mix_terms(call, &table, 2, begin);
    const bool aligned = all_aligned4(e, g, terms);
    const auto kernel = tiles.depth == 4 ? tiles_kernel<4>(tiles, aligned) : tiles_kernel<1>(tiles, aligned);
    launch(*call.exec, "mix_weight_grad_tiles", kernel, dim3(static_cast<unsigned>(tiles.blocks)), dim3(kBlock), 0,
           terms, g, e, tiles, partial);
    Places places{terms.count, {}};
    for (int t = 0; t < terms.count; ++t) places.place[t] = terms.term[t].weight;
    launch(*call.exec, "mix_weight_grad_merge", mix_weight_grad_merge, dim3(1), dim3(kMergeBlock), 0, places,
           partial, tiles.blocks, Rows{table.as<float>(), table.ld}, extent_of(table),
           begin == 0 && call.out[0].write == Write::kSet);
  }
}

constexpr Impl kWeightGrad[] = {{"tiles", all_float32, run, workspace}};
}  // namespace

std::span<const Impl> mix_weight_grad_cuda() { return kWeightGrad; }
}  // namespace mixop::kernels
