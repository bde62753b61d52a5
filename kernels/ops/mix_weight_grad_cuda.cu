// The gradient of the mixed operation's table: all dot products in one pass over G, merged by the block that comes
// last.
#include "kernels/core/cuda/merge.cuh"
#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/mix_terms.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kBlock = 256, kWarps = kBlock / kWarp;
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

/// Where the sums of blocks go, and what becomes of them.
struct Merge {
  MergeTree tree;
  float* partial;  ///< [block][term]
  unsigned* tickets;
  Rows dtable;
  Extent e;
  bool set;  ///< zero dtable first
};

/// dtable[place_t] += sums[t] in term order, place_t being the term's weight. One block, after all of its threads
/// have come; a thread owns each place named.
template <class S>
__device__ __forceinline__ void add_to_table(const MixTerms& terms, S sums, const Merge& to) {
  const int thread = static_cast<int>(threadIdx.x);
  if (to.set)
    for (int64_t i = thread; i < to.e.rows * to.e.last; i += kBlock)
      to.dtable.data[i / to.e.last * to.dtable.ld + i % to.e.last] = 0;
  __syncthreads();
  for (int t = thread; t < terms.count; t += kBlock) {
    const int64_t place = terms.term[t].weight;
    bool first = true;
    for (int u = 0; u < t; ++u) first = first && terms.term[u].weight != place;
    if (!first) continue;
    double sum = static_cast<double>(to.dtable.data[place]);
    for (int u = t; u < terms.count; ++u)
      if (terms.term[u].weight == place) sum += sums[u];
    to.dtable.data[place] = static_cast<float>(sum);
  }
}

/// dtable[weight_t] (+)= sum of G t_t(z_t) over the blocks' tiles; a thread owns kLanes channels of kRows rows of a
/// tile, a warp adds up its threads, and the block its warps.
template <int kLanes, int kRows, bool kAligned>
__global__ void __launch_bounds__(kBlock, 2)
    mix_weight_grad_tiles(MixTerms terms, StoredRows g, Extent e, Tiles tiles, Merge to) {
  wait_for_earlier();
  MIXOP_SHARED(float, sums, kMaxTerms* kWarps);
  MIXOP_SHARED(double, totals, kMaxTerms);
  const int thread = static_cast<int>(threadIdx.x), warp = thread / kWarp;
  const int down = thread / tiles.columns, across = thread - down * tiles.columns;
  for (int i = thread; i < terms.count * kWarps; i += kBlock) sums[i] = 0;
  __syncthreads();
  for (int64_t tile = blockIdx.x; tile < tiles.count; tile += gridDim.x) {
    const int64_t tile_row = tile / tiles.across;
    const int64_t c = ((tile - tile_row * tiles.across) * tiles.columns + across) * kLanes;
    const int64_t first = tile_row * tiles.rows * kRows + down;
    const bool mine = down < tiles.rows && c < e.last && first < e.rows;
    const auto patch = [&](const StoredRows& from) {
      return load_patch<kLanes, kRows, kAligned>(from, e.rows, first, tiles.rows, c);
    };
    Lanes<kLanes> grad[kRows]{};
    Patch<kLanes, kRows> next{};
    if (mine) {
      const Patch<kLanes, kRows> own = patch(g);
      next = patch(terms.term[0].z);
#pragma unroll
      for (int i = 0; i < kRows; ++i)
#pragma unroll
        for (int l = 0; l < kLanes; ++l)
          grad[i].v[l] = first + i * tiles.rows < e.rows ? g.value(own.row[i], l) : 0.0f;
    }
    for (int t = 0; t < terms.count; ++t) {
      const Patch<kLanes, kRows> z = next;
      float sum = 0;
      if (mine) {
        if (t + 1 < terms.count) next = patch(terms.term[t + 1].z);
        const Stored stored = terms.term[t].z;
        const OwnTransform<kLanes> transform = own_transform<kLanes, kAligned>(terms.term[t].load, c);
#pragma unroll
        for (int i = 0; i < kRows; ++i)
#pragma unroll
          for (int l = 0; l < kLanes; ++l) sum = fmaf(grad[i].v[l], transform(stored.value(z.row[i], l), l), sum);
      }
      sum = warp_sum(sum);
      if (thread % kWarp == 0) sums[t * kWarps + warp] += sum;
    }
  }
  __syncthreads();
  for (int t = thread; t < terms.count; t += kBlock) {
    float sum = 0;
    for (int w = 0; w < kWarps; ++w) sum += sums[t * kWarps + w];
    to.partial[static_cast<int64_t>(blockIdx.x) * terms.count + t] = sum;
  }
  if (merge_parts<kBlock>(to.tree, Addition(), static_cast<int>(blockIdx.x), to.partial, terms.count, terms.count,
                          to.tickets, [&](int t, double total) { totals[t] = total; }))
    add_to_table(terms, totals, to);
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
  const StoredRows g(call.in[0]);
  const size_t present = present_terms(call, 2);
  Tiles tiles = tiles_of(e);
  if (present == 0) tiles.count = 0, tiles.blocks = 1;  // the table alone is written
  for (size_t begin = 0; begin < std::max<size_t>(present, 1); begin += kMaxTerms) {
    const MixTerms terms = mix_terms(call, &table, 2, begin);
    const bool aligned = in_fours(call.in[0], terms);
    const auto kernel = tiles.depth == 4 ? tiles_kernel<4>(tiles, aligned) : tiles_kernel<1>(tiles, aligned);
    const Merge to = {MergeTree(tiles.blocks, std::max(terms.count, 1), kBlock),
                      call.exec->scratch<float>(),
                      call.exec->tickets,
                      {table.as<float>(), table.ld},
                      extent_of(table),
                      begin == 0 && call.out[0].write == Write::kSet};
    launch_dependent(*call.exec, "mix_weight_grad_tiles", kernel, dim3(static_cast<unsigned>(tiles.blocks)),
                     dim3(kBlock), 0, terms, g, e, tiles, to);
  }
}

constexpr Impl kWeightGrad[] = {{"tiles", all_float32_or_bf16, run, workspace}};
}  // namespace

std::span<const Impl> mix_weight_grad_cuda() { return kWeightGrad; }
}  // namespace mixop::kernels
