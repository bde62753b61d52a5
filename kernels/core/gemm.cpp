#include "kernels/core/gemm.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/core/gemm.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

int64_t GemmLanes() { return static_cast<int64_t>(hn::Lanes(Floats())); }

struct Tile {
  int64_t k;
  GemmA a;
  const float* b;
  int64_t b_row;
  float* c;
  int64_t ldc, columns;
  bool add;
};

// M rows times V vectors of C. Row addresses are kept as one pointer per four rows, which x86 addressing extends,
// so that they do not spill.
template <int M, int V>
void run_tile(const Tile& t) {
  const Floats d;
  const int64_t lanes = GemmLanes(), row = t.a.row;
  FloatVec acc[M][V];
  HWY_UNROLL(16)
  for (int i = 0; i < M; ++i) {
    HWY_UNROLL(2)
    for (int v = 0; v < V; ++v) acc[i][v] = hn::Zero(d);
  }
  constexpr int kQuads = (M + 3) / 4;
  const float* quad[kQuads];
  for (int q = 0; q < kQuads; ++q) quad[q] = t.a.data + q * 4 * row;
  const float* b = t.b;
  for (int64_t p = 0; p < t.k; ++p) {
    FloatVec bv[V];
    HWY_UNROLL(2)
    for (int v = 0; v < V; ++v) bv[v] = hn::LoadU(d, b + v * lanes);
    HWY_UNROLL(16)
    for (int i = 0; i < M; ++i) {
      const FloatVec av = hn::Set(d, quad[i / 4][(i % 4) * row]);
      HWY_UNROLL(2)
      for (int v = 0; v < V; ++v) acc[i][v] = hn::MulAdd(av, bv[v], acc[i][v]);
    }
    for (int q = 0; q < kQuads; ++q) quad[q] += t.a.col;
    b += t.b_row;
  }
  const bool full = t.columns == V * lanes;
  const int64_t rest = t.columns - (V - 1) * lanes;  // columns in the last vector
  if (t.add) {  // all loads before the first store, which would delay a load of a neighbouring row
    HWY_UNROLL(16)
    for (int i = 0; i < M; ++i) {
      const float* c = t.c + i * t.ldc;
      HWY_UNROLL(2)
      for (int v = 0; v < V; ++v, c += lanes) {
        acc[i][v] = hn::Add(full || v + 1 < V ? hn::LoadU(d, c) : load_first(d, c, rest), acc[i][v]);
      }
    }
  }
  HWY_UNROLL(16)
  for (int i = 0; i < M; ++i) {
    float* c = t.c + i * t.ldc;
    HWY_UNROLL(2)
    for (int v = 0; v < V; ++v, c += lanes) {
      if (full || v + 1 < V) hn::StoreU(acc[i][v], d, c);
      else store_first(acc[i][v], d, c, rest);
    }
  }
}

// As many accumulators as leave registers for B and A: of 32 with AVX-512, of 16 otherwise.
constexpr int kRowsOne = HWY_TARGET <= HWY_AVX3 ? 16 : 12, kRowsTwo = HWY_TARGET <= HWY_AVX3 ? 12 : 6;

template <int V, int... kM>
void run_rows(int64_t m, Tile tile, std::integer_sequence<int, kM...>) {
  static constexpr void (*kTiles[])(const Tile&) = {run_tile<kM + 1, V>...};
  constexpr int64_t kMost = sizeof...(kM);
  const int64_t tiles = (m + kMost - 1) / kMost;  // even, so that no tile is left with a row or two
  const float* a = tile.a.data;
  float* c = tile.c;
  for (int64_t i = 0, begin = 0; i < tiles; ++i) {
    const int64_t end = m * (i + 1) / tiles;
    tile.a.data = a + begin * tile.a.row;
    tile.c = c + begin * tile.ldc;
    kTiles[end - begin - 1](tile);
    begin = end;
  }
}

void Gemm(int64_t m, int64_t n, int64_t k, const GemmA& a, const GemmB& b, float* c, int64_t ldc, bool add) {
  const int64_t lanes = GemmLanes();
  for (int64_t j = 0; j < n; j += 2 * lanes) {
    const int64_t columns = std::min(n - j, 2 * lanes);
    const Tile tile = {k, a, b.data + j / (2 * lanes) * b.panel, b.row, c + j, ldc, columns, add};
    if (columns > lanes) run_rows<2>(m, tile, std::make_integer_sequence<int, kRowsTwo>());
    else run_rows<1>(m, tile, std::make_integer_sequence<int, kRowsOne>());
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(GemmLanes);
HWY_EXPORT(Gemm);

int64_t gemm_lanes() { return HWY_DYNAMIC_DISPATCH(GemmLanes)(); }
int64_t gemm_panel() { return 2 * gemm_lanes(); }

int64_t gemm_packed_floats(int64_t k, int64_t n) {
  const int64_t panel = gemm_panel();
  return k * ((n + panel - 1) / panel) * panel;
}

void gemm_pack(const float* src, int64_t row_stride, int64_t col_stride, int64_t first, int64_t rows, int64_t k,
               int64_t n, float* packed) {
  constexpr int64_t kRows = 16;  // of a transposed matrix: one cache line of each column
  const int64_t panel = gemm_panel();
  for (int64_t j = 0; j < n; j += panel) {
    const int64_t columns = std::min(panel, n - j);
    for (int64_t begin = 0; begin < rows; begin += kRows) {
      const int64_t end = std::min(rows, begin + kRows);
      const float* from = src + j * col_stride;
      float* to = packed + j * k + first * panel;
      if (col_stride == 1) {
        for (int64_t p = begin; p < end; ++p) std::copy_n(from + p * row_stride, columns, to + p * panel);
      } else {
        for (int64_t i = 0; i < columns; ++i)
          for (int64_t p = begin; p < end; ++p) to[p * panel + i] = from[p * row_stride + i * col_stride];
      }
      for (int64_t p = begin; p < end; ++p) std::fill(to + p * panel + columns, to + (p + 1) * panel, 0.0f);
    }
  }
}

void gemm(int64_t m, int64_t n, int64_t k, GemmA a, GemmB b, float* c, int64_t ldc, Write write) {
  HWY_DYNAMIC_DISPATCH(Gemm)(m, n, k, a, b, c, ldc, write == Write::kAdd);
}

}  // namespace mixop::kernels
#endif
