// The sums of all terms of a mixed operation's gradient: a thread keeps its rows of G in registers while those of
// one z after the other pass. Blocks leave one partial sum a term and channel, which a second kernel adds in block
// order and turns into s1, s2 and the gradient of the table.
// Reads (terms + 1) T; composite: bn_reduce of each term, mix_weight_grad.
#include "kernels/core/cuda/columns.cuh"
#include "kernels/ops/mix_terms.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kRows = 8;                   // of a thread; added in float32, from there on in double
constexpr int kFewestBlocks = 1024;        // below that, the terms are split among blocks as well
constexpr int kMergeBlock = 256;           // a warp adds the partials of a channel
constexpr int kTermsOnce = kMaxTerms - 1;  // of one launch at most: S1 takes an entry too

/// What G is multiplied by; S1 is the sum whose z is 1 everywhere (null). A sampled term has an S1 of its own.
struct SumTerm {
  const float* z;
  int64_t ld;
  const float *mean, *factor;  ///< null: none; factors of the samples
};

struct SumTerms {
  int count = 0, per_block = 0;
  std::array<SumTerm, kMaxTerms> term;
};

/// partials[t][channel][block] = sum of factor_t[sample] G (z_t - mean_t) over the rows of a block, for the terms
/// that are its share. kSampled: some term has factors.
template <int kWidth, bool kSampled>
__global__ void __launch_bounds__(kColumnThreads)
    mix_reduce_partial(SumTerms terms, Columns k, const float* __restrict__ g, int64_t ldg, int64_t sample_rows,
                       double* __restrict__ partials) {
  const ColumnPlace<kWidth> at(k);
  Pack<kWidth> grad[kRows];
  load_tile(at, at.row, g, ldg, grad);
  const int begin = static_cast<int>(blockIdx.z) * terms.per_block, end = min(begin + terms.per_block, terms.count);
  for (int t = begin; t < end; ++t) {
    const SumTerm& term = terms.term[t];
    Pack<kWidth> z[kRows], centre = filled<kWidth>(0);
    if (term.z) {
      load_tile(at, at.row, term.z, term.ld, z);
      if (term.mean && at.row < at.end)
        for (int j = 0; j < kWidth; ++j) centre[j] = term.mean[at.c + j];
    } else {
#pragma unroll
      for (int i = 0; i < kRows; ++i) z[i] = filled<kWidth>(1);
    }
    if constexpr (kSampled)  // z - mean becomes factor (z - mean), the rows of a thread being of any samples
      if (term.factor) {
#pragma unroll
        for (int i = 0; i < kRows; ++i) {
          const int64_t r = at.row + i * at.step;
          const float factor = r < at.end ? term.factor[r / sample_rows] : 0.0f;
#pragma unroll
          for (int j = 0; j < kWidth; ++j) z[i][j] = factor * (z[i][j] - centre[j]);
        }
        centre = filled<kWidth>(0);
      }
    double sums[1][kWidth];
#pragma unroll
    for (int j = 0; j < kWidth; ++j) {
      float sum = 0;
#pragma unroll
      for (int i = 0; i < kRows; ++i) sum = fmaf(grad[i][j], z[i][j] - centre[j], sum);  // beyond the end g is zero
      sums[0][j] = sum;
    }
    reduce_columns(k, sums, [&](int channel, int, double sum) {
      partials[(static_cast<int64_t>(t) * k.channels + channel) * gridDim.x + blockIdx.x] = sum;
    });
  }
}

/// What becomes of a term's sums; null pointers and place -1 switch parts off.
struct MergeTerm {
  const float *rstd, *gamma, *beta, *scale;
  float *s1, *s2;
  int64_t place;       ///< in the memory of dtable
  int sum_g, sum_g_z;  ///< the entries of its sums among the partials
  bool add;            ///< to s1
};

struct MergeTerms {
  int count = 0;
  std::array<MergeTerm, kTermsOnce> term;
};
static_assert(sizeof(MergeTerms) < 3072);

/// One block a term: s1, s2, and where it is the first term of its place in dtable, the sum of all terms of that
/// place. One more block zeroes the elements without a term.
__global__ void __launch_bounds__(kMergeBlock)
    mix_reduce_merge(MergeTerms terms, const double* __restrict__ partials, int blocks, int channels, Rows dtable,
                     Extent e, bool set) {
  const int own = static_cast<int>(blockIdx.x), thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  const auto named = [&](int64_t place, int from, int to) {
    for (int u = from; u < to; ++u)
      if (terms.term[u].place == place) return true;
    return false;
  };
  if (own == terms.count) {
    for (int64_t i = thread; i < e.rows * e.last; i += kMergeBlock)
      if (const int64_t place = i / e.last * dtable.ld + i % e.last; !named(place, 0, terms.count))
        dtable.data[place] = 0;
    return;
  }
  const auto merged = [&](int t, int channel) {
    const double* p = partials + (static_cast<int64_t>(t) * channels + channel) * blocks;
    double sum = 0;
    for (int b = lane; b < blocks; b += kWarp) sum += p[b];
    return warp_sum(sum);
  };
  const int64_t place = terms.term[own].place;
  const bool weighs = place >= 0 && !named(place, 0, own);
  double total = 0;
  for (int t = own; t < terms.count; ++t) {
    const MergeTerm& term = terms.term[t];
    if (t > own && (!weighs || term.place != place)) continue;
    double dot = 0;
    for (int c = thread / kWarp; c < channels; c += kMergeBlock / kWarp) {
      const double s1 = merged(term.sum_g, c), s2 = merged(term.sum_g_z, c) * (term.rstd ? term.rstd[c] : 1.0f);
      dot += term.gamma ? term.gamma[c] * s2 + term.beta[c] * s1 : s2;
      if (t > own || !term.s1 || lane > 0) continue;
      const double scale = term.scale ? *term.scale : 1.0f;
      term.s1[c] = static_cast<float>(scale * s1) + (term.add ? term.s1[c] : 0.0f);
      term.s2[c] = static_cast<float>(scale * s2);
    }
    if (weighs) total += block_sum<kMergeBlock>(lane == 0 ? dot : 0.0);
  }
  if (weighs && thread == 0) dtable.data[place] = static_cast<float>(total + (set ? 0.0f : dtable.data[place]));
}

Columns columns_of(const View& g, int width) { return {g.rows(), g.last(), width, kRows, INT32_MAX}; }

/// Enough for either width: whether rows are aligned shows only when the call is bound to memory.
size_t workspace(const Call& call) {
  const View& g = call.in[0];
  const size_t blocks = std::max(columns_of(g, 4).grid.x, columns_of(g, 1).grid.x);
  size_t sums = 1;
  for (const MixReduceAttrs::Term& term : call.attr<MixReduceAttrs>().terms) sums += term.sampled ? 2 : 1;
  return sizeof(double) * blocks * std::min<size_t>(kMaxTerms, sums) * static_cast<size_t>(g.last());
}

void run(const Call& call) {
  const auto& a = call.attr<MixReduceAttrs>();
  const View& g = call.in[0];
  const Out* dtable = a.dtable ? &call.out[0] : nullptr;
  auto* partials = call.exec->scratch<double>();
  size_t at = a.first_term(), out = a.first_sums();
  for (size_t t = 0; t < a.terms.size();) {
    SumTerms sums;
    MergeTerms merge;
    bool aligned = aligned4(g), sampled = false;
    const bool first = t == 0;
    const auto entry = [&](const SumTerm& term) {
      sums.term[static_cast<size_t>(sums.count)] = term;
      return sums.count++;
    };
    entry({});
    for (; t < a.terms.size() && sums.count + (a.terms[t].sampled ? 2 : 1) <= kMaxTerms; ++t) {
      const MixReduceAttrs::Term& term = a.terms[t];
      const View& z = call.in[at];
      const Loader<float> norm(call, term.load, at + 1);
      aligned = aligned && aligned4(z);
      sampled = sampled || term.sampled;
      const float* const factor = term.sampled ? call.in[at + term.inputs() - 1].as<float>() : nullptr;
      const int sum_g = factor ? entry({nullptr, 0, nullptr, factor}) : 0;
      const int sum_g_z = entry({z.as<float>(), z.ld, norm.mean, factor});
      merge.term[static_cast<size_t>(merge.count++)] = {
          norm.rstd,
          norm.gamma,
          norm.beta,
          term.scaled ? call.in[1].as<float>() + table_offset(call.in[1], term.index) : nullptr,
          term.sums ? call.out[out].as<float>() : nullptr,
          term.sums ? call.out[out + 1].as<float>() : nullptr,
          term.weighted ? table_offset(*dtable, term.index) : -1,
          sum_g,
          sum_g_z,
          term.sums && call.out[out].write == Write::kAdd};
      at += term.inputs();
      out += term.sums ? 2 : 0;
    }
    const bool zero = dtable && first && dtable->write == Write::kSet;
    with_width(aligned, [&]<int kWidth>() {
      const Columns k = columns_of(g, kWidth);
      const int blocks = static_cast<int>(k.grid.x * k.grid.y);
      sums.per_block = std::max(2, ceil_div(sums.count * blocks, kFewestBlocks));
      if (blocks >= kFewestBlocks) sums.per_block = sums.count;
      const dim3 grid(k.grid.x, k.grid.y, static_cast<unsigned>(ceil_div(sums.count, sums.per_block)));
      launch(*call.exec, "mix_reduce_partial",
             sampled ? mix_reduce_partial<kWidth, true> : mix_reduce_partial<kWidth, false>, grid, kColumnThreads,
             0, sums, k, g.as<float>(), g.ld, rows_per_sample(g), partials);
      launch(*call.exec, "mix_reduce_merge", mix_reduce_merge, dim3(static_cast<unsigned>(merge.count + zero)),
             kMergeBlock, 0, merge, partials, static_cast<int>(k.grid.x), k.channels,
             dtable ? Rows{dtable->as<float>(), dtable->ld} : Rows{},
             dtable ? Extent{dtable->rows(), dtable->last()} : Extent{}, zero);
    });
  }
}

constexpr Impl kReduce[] = {{"columns", all_float32, run, workspace}};
}  // namespace

std::span<const Impl> mix_reduce_cuda() { return kReduce; }
}  // namespace mixop::kernels
