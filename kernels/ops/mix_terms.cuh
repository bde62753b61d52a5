// The terms of a mixed operation as a kernel argument.
#pragma once

#include <array>

#include "kernels/core/cuda/rows.cuh"
#include "kernels/ops/mix.h"

namespace mixop::kernels::cuda {

/// Of one launch; a sum of more is split, the later launches adding. 40 terms take 3.2 of the 4 KiB that kernel
/// arguments may have.
constexpr int kMaxTerms = 40;

struct MixTerm {
  StoredRows z;
  DeviceLoader load;
  int64_t weight;                 ///< its place in the table's memory
  const float* factor = nullptr;  ///< of each sample, or null
};

struct MixTerms {
  int count = 0;
  std::array<MixTerm, kMaxTerms> term;
};
static_assert(sizeof(MixTerms) < 3328);

/// How many terms of the call are there, the first term's z of all being input `first`.
inline size_t present_terms(const Call& call, size_t first) {
  size_t present = 0;
  for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
    present += call.in[first].data ? 1 : 0;
    first += term.inputs();
  }
  return present;
}

/// Terms [begin, begin + kMaxTerms) of these.
inline MixTerms mix_terms(const Call& call, const View* table, size_t first, size_t begin) {
  const auto& all = call.attr<MixAttrs>().terms;
  MixTerms out;
  size_t at = first, present = 0;
  for (size_t t = 0; t < all.size() && out.count < kMaxTerms; ++t) {
    const View& z = call.in[at];
    if (z.data && present++ >= begin)
      out.term[static_cast<size_t>(out.count++)] = {
          StoredRows(z), device_loader(call, all[t].load, at + 1), table ? table_offset(*table, all[t].index) : 0,
          all[t].sampled ? call.in[at + all[t].inputs() - 1].as<float>() : nullptr};
    at += all[t].inputs();
  }
  return out;
}

/// `other` and all terms can be read four numbers at a time.
inline bool in_fours(const View& other, const MixTerms& terms) {
  return in_fours(other) &&
         std::all_of(terms.term.begin(), terms.term.begin() + terms.count,
                     [&](const MixTerm& t) { return in_fours(t.z, t.z.ld, other.last()) && aligned4(t.load); });
}

/// Rows of a thread at a time: four where that leaves threads enough to fill a device, else one.
inline bool four_rows(Extent e, int lanes) { return e.rows * e.last / lanes >= int64_t{1} << 18; }

/// A thread's part of a term, as it lies in memory. Kernels load the next term's before they use this one's, so
/// that reads of memory and arithmetic overlap.
template <int kLanes, int kRows>
struct Patch {
  Bits<kLanes> row[kRows];
};

/// Elements i to i + kLanes - 1.
template <int kLanes, bool kAligned>
__device__ __forceinline__ Bits<kLanes> load_bits(const Stored& x, int64_t i) {
  if constexpr (kLanes == 1 || kAligned) {
    return x.template bits<kLanes>(i);
  } else {
    Bits<kLanes> all{};
#pragma unroll
    for (int l = 0; l < kLanes; ++l) {
      const unsigned one = x.template bits<1>(i + l).v[0];
      if (x.bf16) all.v[l / 2] |= one << l % 2 * 16;
      else all.v[l] = one;
    }
    return all;
  }
}

/// Column c of rows first, first + step, ...; past the last row the first one stands in, which saves branches.
template <int kLanes, int kRows, bool kAligned = true>
__device__ __forceinline__ Patch<kLanes, kRows> load_patch(const StoredRows& z, int64_t rows, int64_t first,
                                                           int64_t step, int64_t c) {
  Patch<kLanes, kRows> out;
#pragma unroll
  for (int i = 0; i < kRows; ++i) {
    const int64_t r = first + i * step;
    out.row[i] = load_bits<kLanes, kAligned>(z, (r < rows ? r : first) * z.ld + c);
  }
  return out;
}

}  // namespace mixop::kernels::cuda
