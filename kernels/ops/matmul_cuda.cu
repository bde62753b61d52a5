#include <algorithm>

#include "kernels/core/cuda/merge.cuh"
#include "kernels/ops/matmul_impls.h"

namespace mixop::kernels {
namespace {

constexpr int kBlock = 256;   // 16 x 16 threads for the elements of a tile
constexpr int kChain = 256;   // terms that are summed before they are added to the sum of such chains
constexpr int kBlocks = 128;  // with fewer tiles than that the depth is split as well
constexpr int kLeastDepth = 512;

/// Y [m,n] (+)= A [m,k] B [k,n] as the kernel sees it. The depth is cut into parts of `chunk`; with more than one,
/// the blocks of a tile leave theirs among `partials` and merge them.
struct Product {
  const float *a, *b;
  float* y;
  int64_t lda, ldb, ldy, m, n, k, chunk;
  bool add;
  cuda::MergeTree parts{};
  float* partials = nullptr;  ///< [tile][part][element of the tile]
  unsigned* tickets = nullptr;
};

constexpr int depth_of(int tile) { return tile == 64 ? 16 : 32; }

/// Copies the part [from, from + kTile) x [p, p + kDepth) of a matrix to tile[depth][kStride]; 0 outside
/// [extent] x [end]. kAlongDepth: depth is the contiguous axis in memory.
template <int kTile, int kStride, bool kAlongDepth, class S>
__device__ __forceinline__ void load_tile(S tile, const float* x, int64_t ld, int64_t from, int64_t extent,
                                          int64_t p, int64_t end) {
  constexpr int kDepth = depth_of(kTile);
#pragma unroll
  for (int e = 0; e < kTile * kDepth / kBlock; ++e) {
    const int at = e * kBlock + static_cast<int>(threadIdx.x);
    const int row = kAlongDepth ? at / kDepth : at % kTile, depth = kAlongDepth ? at % kDepth : at / kTile;
    const bool inside = from + row < extent && p + depth < end;
    const int64_t offset = kAlongDepth ? (from + row) * ld + p + depth : (p + depth) * ld + from + row;
    tile[depth * kStride + row] = inside ? x[offset] : 0.0f;
  }
}

// Y (+)= A B for one part of the depth. A block owns a tile of kTile x kTile elements, a thread a square of them.
template <int kTile, bool kTransposeA, bool kTransposeB>
__global__ void __launch_bounds__(kBlock) multiply_tiles(Product m) {
  cuda::wait_for_earlier();
  constexpr int kOwn = kTile / 16, kDepth = depth_of(kTile);
  constexpr int kStride = kTile + kOwn;  // the padding spreads columns over the banks and keeps 16 bytes
  MIXOP_SHARED(float, a_tile, kDepth* kStride);
  MIXOP_SHARED(float, b_tile, kDepth* kStride);
  const int64_t across = cuda::ceil_div<int64_t>(m.n, kTile);
  const int64_t i = blockIdx.x / across * kTile, j = blockIdx.x % across * kTile;
  const int64_t begin = blockIdx.y * m.chunk, end = begin + m.chunk < m.k ? begin + m.chunk : m.k;
  const int row = static_cast<int>(threadIdx.x) / 16 * kOwn, column = static_cast<int>(threadIdx.x) % 16 * kOwn;

  float sum[kOwn][kOwn] = {}, chain[kOwn][kOwn] = {};
  int terms = 0;
  for (int64_t p = begin; p < end; p += kDepth) {
    load_tile<kTile, kStride, !kTransposeA>(a_tile, m.a, m.lda, i, m.m, p, end);
    load_tile<kTile, kStride, kTransposeB>(b_tile, m.b, m.ldb, j, m.n, p, end);
    __syncthreads();
#pragma unroll
    for (int d = 0; d < kDepth; ++d) {
      float a[kOwn], b[kOwn];
#pragma unroll
      for (int u = 0; u < kOwn; ++u) {
        a[u] = a_tile[d * kStride + row + u];
        b[u] = b_tile[d * kStride + column + u];
      }
#pragma unroll
      for (int u = 0; u < kOwn; ++u)
#pragma unroll
        for (int v = 0; v < kOwn; ++v) chain[u][v] = fmaf(a[u], b[v], chain[u][v]);
    }
    __syncthreads();
    terms += kDepth;
    if (terms < kChain && p + kDepth < end) continue;
    terms = 0;
#pragma unroll
    for (int u = 0; u < kOwn; ++u)
#pragma unroll
      for (int v = 0; v < kOwn; ++v) {
        sum[u][v] += chain[u][v];
        chain[u][v] = 0;
      }
  }

  const auto write = [&](int at_row, int at_column, float value) {
    if (i + at_row >= m.m || j + at_column >= m.n) return;
    float& to = m.y[(i + at_row) * m.ldy + j + at_column];
    to = m.add ? to + value : value;
  };
  constexpr int kSize = kTile * kTile;
  float* const parts = m.partials + static_cast<int64_t>(blockIdx.x) * m.parts.parts * kSize;
  const bool alone = m.parts.parts == 1;
#pragma unroll
  for (int u = 0; u < kOwn; ++u)
#pragma unroll
    for (int v = 0; v < kOwn; ++v) {
      if (alone) write(row + u, column + v, sum[u][v]);
      else parts[static_cast<int64_t>(blockIdx.y) * kSize + (row + u) * kTile + column + v] = sum[u][v];
    }
  if (alone) return;
  cuda::merge_parts<kBlock>(m.parts, cuda::Addition(), static_cast<int>(blockIdx.y), parts, kSize, kSize,
                            m.tickets + blockIdx.x * m.parts.tickets(),
                            [&](int e, double total) { write(e / kTile, e % kTile, static_cast<float>(total)); });
}

int64_t tiles(const Product& p, int tile) {
  return cuda::ceil_div<int64_t>(p.m, tile) * cuda::ceil_div<int64_t>(p.n, tile);
}

/// Small tiles where large ones would leave most of a device idle, or be mostly empty.
int tile_of(const Product& p) { return std::min(p.m, p.n) > 32 && tiles(p, 64) >= 64 ? 64 : 16; }

Product product_of(const Call& call) {
  const auto& attrs = call.attr<MatmulAttrs>();
  const View &a = call.in[0], &b = call.in[1];
  const Out& y = call.out[0];
  Product p{.a = a.as<float>(),
            .b = b.as<float>(),
            .y = y.as<float>(),
            .lda = a.ld,
            .ldb = b.ld,
            .ldy = y.ld,
            .m = y.shape[0],
            .n = y.shape[1],
            .k = a.shape[attrs.transpose_a ? 0 : 1],
            .chunk = 0,
            .add = y.write == Write::kAdd};
  const int tile = tile_of(p);
  const int64_t parts = std::clamp<int64_t>(p.k / kLeastDepth, 1, std::max<int64_t>(1, kBlocks / tiles(p, tile)));
  p.chunk = cuda::ceil_div(p.k, parts);
  p.parts = cuda::MergeTree(cuda::ceil_div(p.k, p.chunk), int64_t{tile} * tile, kBlock);
  return p;
}

size_t workspace(const Call& call) {
  const Product p = product_of(call);
  const int tile = tile_of(p), parts = p.parts.parts;
  return parts > 1 ? sizeof(float) * static_cast<size_t>(tiles(p, tile) * tile * tile * parts) : 0;
}

template <int kTile>
void launch_tiles(const Call& call, const Product& p) {
  const auto [ta, tb] = call.attr<MatmulAttrs>();
  const auto kernel = ta ? (tb ? multiply_tiles<kTile, true, true> : multiply_tiles<kTile, true, false>)
                         : (tb ? multiply_tiles<kTile, false, true> : multiply_tiles<kTile, false, false>);
  const dim3 grid(static_cast<unsigned>(tiles(p, kTile)), static_cast<unsigned>(p.parts.parts));
  cuda::launch_dependent(*call.exec, "multiply_tiles", kernel, grid, kBlock, 0, p);
}

void run_tiled(const Call& call) {
  Product p = product_of(call);
  p.partials = call.exec->scratch<float>();
  p.tickets = cuda::tickets_for(*call.exec, tiles(p, tile_of(p)) * p.parts.tickets());
  if (tile_of(p) == 64) launch_tiles<64>(call, p);
  else launch_tiles<16>(call, p);
}

}  // namespace

std::span<const Impl> matmul_cuda() {
  static const Impl list[] = {kMatmulCublas, {"tiled", all_float32, run_tiled, workspace}};
  return list;
}
}  // namespace mixop::kernels
