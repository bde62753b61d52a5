#include "kernels/ops/separable_forward_pointwise.h"

#include <algorithm>
#include <utility>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/separable_forward_pointwise.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {
namespace hn = hwy::HWY_NAMESPACE;

constexpr int64_t kLanes = hn::MaxLanes(Floats());

// Adds sum and squares of rows of z around the centre, in two chains each so that they do not wait for each other.
template <int M, int V>
HWY_INLINE void add_sums(const FloatVec (&z)[M][V], const ColumnSums& s) {
  const Floats d;
  HWY_UNROLL(4)
  for (int v = 0; v < V; ++v) {
    const int64_t j = v * kLanes;
    if (s.set_centre) {
      FloatVec rest = hn::Zero(d);
      HWY_UNROLL(16)
      for (int i = 1; i < M; ++i) rest = hn::Add(rest, hn::Sub(z[i][v], z[0][v]));
      hn::StoreU(hn::MulAdd(rest, hn::Set(d, 1.0f / M), z[0][v]), d, s.centre + j);
    }
    const FloatVec centre = hn::LoadU(d, s.centre + j);
    FloatVec sum[2] = {hn::LoadU(d, s.sum + j), hn::Zero(d)};
    FloatVec squares[2] = {hn::LoadU(d, s.squares + j), hn::Zero(d)};
    HWY_UNROLL(16)
    for (int i = 0; i < M; ++i) {
      const FloatVec v_i = hn::Sub(z[i][v], centre);
      sum[i % 2] = hn::Add(sum[i % 2], v_i);
      squares[i % 2] = hn::MulAdd(v_i, v_i, squares[i % 2]);
    }
    hn::StoreU(hn::Add(sum[0], sum[1]), d, s.sum + j);
    hn::StoreU(hn::Add(squares[0], squares[1]), d, s.squares + j);
  }
}

// M rows times V vectors of z. Row addresses are kept as one pointer per four rows, which x86 addressing extends,
// so that they do not spill.
template <int M, int V>
void run_tile(const PointwiseRows& g) {
  const Floats d;
  FloatVec acc[M][V];
  HWY_UNROLL(16)
  for (int i = 0; i < M; ++i) {
    HWY_UNROLL(4)
    for (int v = 0; v < V; ++v) acc[i][v] = hn::Zero(d);
  }
  const float* w = g.w;
  for (const ColumnRange& y : g.y) {
    constexpr int kQuads = (M + 3) / 4;
    const float* quad[kQuads];
    for (int q = 0; q < kQuads; ++q) quad[q] = y.data + q * 4 * y.row;
    for (int64_t p = 0; p < y.columns; ++p, w += V * kLanes) {
      FloatVec wv[V];
      HWY_UNROLL(4)
      for (int v = 0; v < V; ++v) wv[v] = hn::LoadU(d, w + v * kLanes);
      HWY_UNROLL(16)
      for (int i = 0; i < M; ++i) {
        const FloatVec yv = hn::Set(d, quad[i / 4][i % 4 * y.row + p]);
        HWY_UNROLL(4)
        for (int v = 0; v < V; ++v) acc[i][v] = hn::MulAdd(yv, wv[v], acc[i][v]);
      }
    }
  }
  const int64_t rest = g.columns - (V - 1) * kLanes;  // columns in the last vector
  HWY_UNROLL(16)
  for (int i = 0; i < M; ++i) {
    float* z = g.z + i * g.ldz;
    HWY_UNROLL(4)
    for (int v = 0; v < V; ++v, z += kLanes) {
      if (g.stream) hn::Stream(acc[i][v], d, z);
      else if (v + 1 < V || rest == kLanes) hn::StoreU(acc[i][v], d, z);
      else store_first(acc[i][v], d, z, rest);
    }
  }
  if (g.sums.sum) add_sums<M, V>(acc, g.sums);
}

// As many accumulators as leave registers for w and y: of 32 with AVX-512, of 16 otherwise.
constexpr bool k32 = HWY_TARGET <= HWY_AVX3;
template <int V>
constexpr int kMostRows = V == 1   ? (k32 ? 16 : 12)
                          : V == 2 ? (k32 ? 12 : 6)
                                   : (k32 ? 8 : 4);

#if HWY_TARGET <= HWY_AVX3
// One vector of columns and few channels C, rows of y without gaps: w stays in registers over all rows and the sums
// do. Returns the rows done, a multiple of M.
template <int C>
int64_t run_resident(const PointwiseRows& g) {
  constexpr int M = 8;
  const Floats d;
  FloatVec w[C];
  HWY_UNROLL(16)
  for (int p = 0; p < C; ++p) w[p] = hn::LoadU(d, g.w + p * kLanes);
  const bool sums = g.sums.sum;
  FloatVec centre = hn::Zero(d), sum = centre, squares = centre;
  if (sums) {
    centre = hn::LoadU(d, g.sums.centre);
    sum = hn::LoadU(d, g.sums.sum);
    squares = hn::LoadU(d, g.sums.squares);
  }
  const float* y = g.y[0].data;
  float* z = g.z;
  int64_t r = 0;
  for (; r + M <= g.rows; r += M, y += M * C, z += M * g.ldz) {
    FloatVec acc[M];
    HWY_UNROLL(8)
    for (int i = 0; i < M; ++i) acc[i] = hn::Zero(d);
    HWY_UNROLL(16)
    for (int p = 0; p < C; ++p) {
      HWY_UNROLL(8)
      for (int i = 0; i < M; ++i) acc[i] = hn::MulAdd(hn::Set(d, y[i * C + p]), w[p], acc[i]);
    }
    HWY_UNROLL(8)
    for (int i = 0; i < M; ++i) {
      if (g.stream) hn::Stream(acc[i], d, z + i * g.ldz);
      else hn::StoreU(acc[i], d, z + i * g.ldz);
    }
    if (!sums) continue;
    HWY_UNROLL(8)
    for (int i = 0; i < M; ++i) {
      const FloatVec v = hn::Sub(acc[i], centre);
      sum = hn::Add(sum, v);
      squares = hn::MulAdd(v, v, squares);
    }
  }
  if (sums) {
    hn::StoreU(sum, d, g.sums.sum);
    hn::StoreU(squares, d, g.sums.squares);
  }
  return r;
}
#endif

template <int V, int... kM>
void run_panel(const PointwiseRows& g, std::integer_sequence<int, kM...>) {
  static constexpr void (*kTiles[])(const PointwiseRows&) = {run_tile<kM + 1, V>...};
  constexpr int64_t kMost = sizeof...(kM);
  const int64_t tiles = (g.rows + kMost - 1) / kMost;  // even, so that no tile is left with a row or two
  PointwiseRows tile = g;
  for (int64_t i = 0, begin = 0; i < tiles; ++i) {
    const int64_t end = g.rows * (i + 1) / tiles;
    for (int r = 0; r < 2; ++r) tile.y[r].data = g.y[r].data + begin * g.y[r].row;
    tile.z = g.z + begin * g.ldz;
    kTiles[end - begin - 1](tile);
    tile.sums.set_centre = false;
    begin = end;
  }
}

// Columns in even panels of at most three vectors; calls f(first column, vectors).
template <class F>
void for_panels(int64_t columns, const F& f) {
  const int64_t vectors = (columns + kLanes - 1) / kLanes, panels = (vectors + 2) / 3;
  for (int64_t i = 0, begin = 0; i < panels; ++i) {
    const int64_t end = vectors * (i + 1) / panels;
    f(begin * kLanes, end - begin);
    begin = end;
  }
}

void PointwisePack(const float* w, int64_t channels, int64_t columns, float* packed) {
  for_panels(columns, [&](int64_t first, int64_t vectors) {
    const int64_t width = vectors * kLanes, used = std::min(width, columns - first);
    for (int64_t p = 0; p < channels; ++p, packed += width) {
      std::copy_n(w + p * columns + first, used, packed);
      std::fill(packed + used, packed + width, 0.0f);
    }
  });
}

void PointwiseRun(const PointwiseRows& g) {
  PointwiseRows panel = g;
#if HWY_TARGET <= HWY_AVX3
  if (g.columns == kLanes && g.y[0].columns == 16 && g.y[0].row == 16 && !g.y[1].columns && !g.sums.set_centre) {
    const int64_t done = run_resident<16>(g);
    if (done == g.rows) return;
    panel.rows -= done, panel.z += done * g.ldz, panel.y[0].data += done * g.y[0].row;
    run_panel<1>(panel, std::make_integer_sequence<int, kMostRows<1>>());
    return;
  }
#endif
  for_panels(g.columns, [&](int64_t first, int64_t vectors) {
    panel.columns = std::min(vectors * kLanes, g.columns - first);
    panel.z = g.z + first;
    if (g.sums.sum) {
      panel.sums.centre = g.sums.centre + first;
      panel.sums.sum = g.sums.sum + first;
      panel.sums.squares = g.sums.squares + first;
    }
    if (vectors == 1) run_panel<1>(panel, std::make_integer_sequence<int, kMostRows<1>>());
    else if (vectors == 2) run_panel<2>(panel, std::make_integer_sequence<int, kMostRows<2>>());
    else run_panel<3>(panel, std::make_integer_sequence<int, kMostRows<3>>());
    panel.w += (g.y[0].columns + g.y[1].columns) * vectors * kLanes;
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(PointwisePack);
HWY_EXPORT(PointwiseRun);
PointwiseFunctions pointwise_functions() {
  return {HWY_DYNAMIC_DISPATCH(PointwisePack), HWY_DYNAMIC_DISPATCH(PointwiseRun)};
}
}  // namespace mixop::kernels
#endif
