#include "kernels/core/pixel_rows.h"

#include <algorithm>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/core/pixel_rows.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/partial_vector-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

template <bool kNorm, bool kRelu>
HWY_INLINE FloatVec transform(FloatVec x, const RowTransform& t, int64_t c) {
  const Floats d;
  if (kNorm) {
    x = hn::MulAdd(hn::Sub(x, hn::LoadU(d, t.mean + c)), hn::LoadU(d, t.scale + c), hn::LoadU(d, t.shift + c));
  }
  if (kRelu) x = hn::IfThenZeroElse(hn::Le(x, hn::Zero(d)), x);
  return x;
}

// Rows without gaps are one long row: of any length without norm, else in whole vectors of the repeated parameters.
bool one_row(int64_t channels, bool norm) {
  return !norm || static_cast<int64_t>(hn::Lanes(Floats())) % channels == 0;
}

template <bool kNorm, bool kRelu>
void load_rows(const float* from, int64_t ld, int64_t rows, int64_t channels, const RowTransform& t, float* to,
               int64_t ld_to, bool whole) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  if (ld == channels && ld_to == channels && one_row(channels, kNorm)) {
    const int64_t n = rows * channels;
    int64_t i = 0;
    for (; i + 4 * lanes <= n; i += 4 * lanes) {  // loads before stores, which they might alias
      FloatVec v[4];
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) v[j] = transform<kNorm, kRelu>(hn::LoadU(d, from + i + j * lanes), t, 0);
      HWY_UNROLL(4)
      for (int j = 0; j < 4; ++j) hn::StoreU(v[j], d, to + i + j * lanes);
    }
    for (; i + lanes <= n; i += lanes) hn::StoreU(transform<kNorm, kRelu>(hn::LoadU(d, from + i), t, 0), d, to + i);
    if (i < n) store_first(transform<kNorm, kRelu>(load_first(d, from + i, n - i), t, 0), d, to + i, n - i);
    return;
  }
  const int64_t full = channels / lanes * lanes, rest = channels - full;
  for (int64_t r = 0; r < rows; ++r, from += ld, to += ld_to) {
    for (int64_t c = 0; c < full; c += lanes) {
      hn::StoreU(transform<kNorm, kRelu>(hn::LoadU(d, from + c), t, c), d, to + c);
    }
    if (!rest) continue;
    const FloatVec v = transform<kNorm, kRelu>(load_first(d, from + full, rest), t, full);
    if (whole) hn::StoreU(v, d, to + full);  // faster to read back than a masked store
    else store_first(v, d, to + full, rest);
  }
}

void LoadRows(const float* from, int64_t ld, int64_t rows, int64_t channels, const RowTransform& t, float* to,
              int64_t ld_to, bool whole) {
  if (t.norm && t.relu) load_rows<true, true>(from, ld, rows, channels, t, to, ld_to, whole);
  else if (t.norm) load_rows<true, false>(from, ld, rows, channels, t, to, ld_to, whole);
  else if (t.relu) load_rows<false, true>(from, ld, rows, channels, t, to, ld_to, whole);
  else load_rows<false, false>(from, ld, rows, channels, t, to, ld_to, whole);
}

template <bool kMask, bool kNorm>
void store_rows(const float* from, int64_t ld, int64_t rows, int64_t channels, float* to, int64_t ld_to, bool add,
                const float* mask, int64_t ld_mask, const RowTransform& t) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  // The parameters of one long row repeat every vector, others follow the channel.
  const bool repeat =
      ld == channels && ld_to == channels && (!kMask || (ld_mask == channels && one_row(channels, kNorm)));
  if (repeat) channels *= rows, rows = 1;
  const int64_t whole = channels / lanes * lanes, rest = channels - whole;
  for (int64_t r = 0; r < rows; ++r, from += ld, to += ld_to, mask += ld_mask) {
    for (int64_t c = 0; c < whole; c += lanes) {
      FloatVec v = hn::LoadU(d, from + c);
      if (kMask) {
        const FloatVec m = transform<kNorm, false>(hn::LoadU(d, mask + c), t, repeat ? 0 : c);
        v = hn::IfThenZeroElse(hn::Le(m, hn::Zero(d)), v);
      }
      hn::StoreU(add ? hn::Add(hn::LoadU(d, to + c), v) : v, d, to + c);
    }
    if (!rest) continue;
    FloatVec v = load_first(d, from + whole, rest);
    if (kMask) {
      const FloatVec m = transform<kNorm, false>(load_first(d, mask + whole, rest), t, repeat ? 0 : whole);
      v = hn::IfThenZeroElse(hn::Le(m, hn::Zero(d)), v);
    }
    store_first(add ? hn::Add(load_first(d, to + whole, rest), v) : v, d, to + whole, rest);
  }
}

void StoreRows(const float* from, int64_t ld, int64_t rows, int64_t channels, float* to, int64_t ld_to, bool add,
               const float* mask, int64_t ld_mask, const RowTransform& t) {
  if (!mask) store_rows<false, false>(from, ld, rows, channels, to, ld_to, add, from, ld, t);
  else if (t.norm) store_rows<true, true>(from, ld, rows, channels, to, ld_to, add, mask, ld_mask, t);
  else store_rows<true, false>(from, ld, rows, channels, to, ld_to, add, mask, ld_mask, t);
}

}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(LoadRows);
HWY_EXPORT(StoreRows);

RowFunctions row_functions() { return {HWY_DYNAMIC_DISPATCH(LoadRows), HWY_DYNAMIC_DISPATCH(StoreRows)}; }

namespace {
constexpr int64_t kMaxLanes = 16;
int64_t table_row(int64_t channels) { return round_up(channels, kMaxLanes) + kMaxLanes; }
}  // namespace

int64_t row_transform_floats(const OnLoad& load, int64_t channels) {
  return load.norm ? 3 * table_row(channels) : 0;
}

RowTransform make_row_transform(const Call& call, const OnLoad& load, size_t at, int64_t channels, float* table) {
  RowTransform t;
  t.relu = load.relu;
  if (!load.norm) return t;
  const Loader<float> p(call, load, at);
  const int64_t n = table_row(channels);
  for (int64_t i = 0; i < n; ++i) {
    const int64_t c = i % channels;
    table[i] = p.mean[c];
    table[n + i] = p.gamma ? p.rstd[c] * p.gamma[c] : p.rstd[c];
    table[2 * n + i] = p.beta ? p.beta[c] : 0;
  }
  t.mean = table, t.scale = table + n, t.shift = table + 2 * n;
  t.norm = true;
  return t;
}

void merge_partials(const Exec& exec, const float* partials, int64_t parts, int64_t size, float* dw, Write write) {
  constexpr int64_t kChunk = 1024;  // stays in the first-level cache while the partials pass by
  const int64_t chunks = ceil_div(size, kChunk),
                tasks = parts * size < (1 << 16) ? 1 : std::min<int64_t>(chunks, 64);
  parallel_for(exec, tasks, [&](int64_t task, int) {
    const auto [first, last] = part_of(chunks, tasks, task);
    for (int64_t chunk = first; chunk < last; ++chunk) {
      const int64_t begin = chunk * kChunk, end = std::min(size, begin + kChunk);
      for (int64_t p = 0; p < parts; ++p) {
        const float* from = partials + p * size;
        if (p == 0 && write == Write::kSet) std::copy(from + begin, from + end, dw + begin);
        else
          for (int64_t i = begin; i < end; ++i) dw[i] += from[i];
      }
    }
  });
}

}  // namespace mixop::kernels
#endif
