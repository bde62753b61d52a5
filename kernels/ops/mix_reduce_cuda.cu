// The sums of all terms of a mixed operation's gradient: a thread keeps its rows of G in registers while those of
// one z after the other pass. Terms are shared out among blocks; of those with the same share and channels the last
// adds up the partial sums of all rows, and of these the last turns the sums into s1, s2 and the gradient of the
// table. Reads (terms + 1) T; composite: bn_reduce of each term, mix_weight_grad.
#include <utility>

#include "kernels/core/cuda/columns.cuh"
#include "kernels/core/cuda/merge.cuh"
#include "kernels/ops/mix_terms.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kRows = 8;                         // of a thread; added in float32, from there on in double
constexpr int kBlocks = 1024;                    // as many, about, share the terms among them
constexpr int kFewestTerms = 2, kMostTerms = 8;  // of a share: G is read once a share, most often from a cache
constexpr int kTermsOnce = kMaxTerms - 1;        // of one launch at most: S1 takes an entry too

/// What G is multiplied by; S1 is the sum whose z is 1 everywhere (null). A sampled term has an S1 of its own.
struct SumTerm {
  StoredRows z;
  const float *mean, *factor;  ///< null: none; factors of the samples
};

struct SumTerms {
  int count = 0;
  std::array<SumTerm, kMaxTerms> term;
};

/// What becomes of a term's sums; null pointers and place -1 switch parts off.
struct MergeTerm {
  const float *rstd, *gamma, *beta, *scale;
  float *s1, *s2;
  int place;                   ///< in the memory of dtable
  int8_t sum_g, sum_g_z, add;  ///< the entries of its sums; s1 is added to
};

struct MergeTerms {
  int count = 0;
  std::array<MergeTerm, kTermsOnce> term;
};

/// How sums travel: the blocks of a job, which have the same terms and channels, leave `size` numbers each.
struct MixSums {
  int shares, per_share, size;
  MergeTree tree;
  double* partials;  ///< [job][block][size]
  double* merged;    ///< [term][channel]
  unsigned* tickets;

  MixSums(const Columns& k, int width, int terms) : partials(nullptr), merged(nullptr), tickets(nullptr) {
    const int64_t blocks = int64_t{k.grid.x} * k.grid.y;
    per_share =
        static_cast<int>(std::clamp<int64_t>(ceil_div(terms * blocks, int64_t{kBlocks}), kFewestTerms, kMostTerms));
    shares = ceil_div(terms, per_share);
    size = per_share * k.columns * width;
    tree = MergeTree(k.grid.x, size, kColumnThreads);
  }
  int64_t jobs(const Columns& k) const { return int64_t{k.grid.y} * shares; }
  int64_t doubles(const Columns& k) const { return jobs(k) * tree.parts * size; }
  int64_t all_tickets(const Columns& k) const { return 1 + jobs(k) * tree.tickets(); }
};

struct TableGradient {
  Rows to;
  Extent e;
  bool set;  ///< and zero where no term belongs
};
static_assert(sizeof(SumTerms) + sizeof(MergeTerms) + sizeof(MixSums) + sizeof(Columns) + sizeof(TableGradient) <
                  4000,
              "the kernel's arguments");

/// s1 and s2 of every term, then dtable: at the place of its first term the sum of all terms of that place. One
/// block; a warp owns a term, then a thread one.
__device__ __forceinline__ void finish_terms(const MergeTerms& terms, const double* merged, int channels,
                                             const TableGradient& table) {
  MIXOP_SHARED(double, dots, kTermsOnce);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
  for (int t = thread / kWarp; t < terms.count; t += kColumnThreads / kWarp) {
    const MergeTerm& term = terms.term[t];
    double dot = 0;
    for (int c = lane; c < channels; c += kWarp) {
      const double s1 = merged[term.sum_g * channels + c];
      const double s2 = merged[term.sum_g_z * channels + c] * (term.rstd ? term.rstd[c] : 1.0f);
      dot += term.gamma ? term.gamma[c] * s2 + term.beta[c] * s1 : s2;
      if (!term.s1) continue;
      const double scale = term.scale ? *term.scale : 1.0f;
      term.s1[c] = static_cast<float>(scale * s1) + (term.add ? term.s1[c] : 0.0f);
      term.s2[c] = static_cast<float>(scale * s2);
    }
    dot = warp_sum(dot);
    if (lane == 0) dots[t] = dot;
  }
  __syncthreads();
  const auto named = [&](int64_t place, int to) {
    for (int u = 0; u < to; ++u)
      if (terms.term[u].place == place) return true;
    return false;
  };
  for (int t = thread; t < terms.count; t += kColumnThreads) {
    const int place = terms.term[t].place;
    if (place < 0 || named(place, t)) continue;
    double total = 0;
    for (int u = t; u < terms.count; ++u)
      if (terms.term[u].place == place) total += dots[u];
    table.to.data[place] = static_cast<float>(total + (table.set ? 0.0f : table.to.data[place]));
  }
  if (!table.set) return;
  const int columns = static_cast<int>(table.e.last), elements = static_cast<int>(table.e.rows) * columns;
  for (int i = thread; i < elements; i += kColumnThreads)
    if (const int64_t place = i / columns * table.to.ld + i % columns; !named(place, terms.count))
      table.to.data[place] = 0;
}

/// Sums of factor_t[sample] G (z_t - mean_t) over the rows of a block, for the terms of its share. kSampled: some
/// term has factors. Blocks with the same rows are neighbours.
template <int kWidth, bool kSampled>
__global__ void __launch_bounds__(kColumnThreads, 1)
    mix_reduce_columns(const SumTerms terms, const MergeTerms out, MixSums to, Columns k, StoredRows g,
                       unsigned sample_rows, TableGradient table) {
  wait_for_earlier();
  const int share = static_cast<int>(blockIdx.x) % to.shares, part = static_cast<int>(blockIdx.x) / to.shares;
  const uint3 block = {static_cast<unsigned>(part), blockIdx.y, 0};
  const ColumnPlace<kWidth> at(k, block);
  const int first_channel = static_cast<int>(block.y) * k.columns * kWidth;
  const int begin = share * to.per_share, end = min(begin + to.per_share, terms.count);
  const int job = static_cast<int>(block.y) * to.shares + share, own = k.columns * kWidth;
  double* const parts = to.partials + static_cast<int64_t>(job) * to.tree.parts * to.size;
  const bool alone = to.tree.parts == 1;
  Pack<kWidth> grad[kRows];
  const int rows = load_tile(at, at.row, g, g.ld, grad);
  for (int t = begin; t < end; ++t) {
    const SumTerm& term = terms.term[t];
    Pack<kWidth> z[kRows], centre = filled<kWidth>(0);
    if (term.z) {
      load_tile(at, at.row, term.z, term.z.ld, z);
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
          const unsigned r = static_cast<unsigned>(at.row) + static_cast<unsigned>(i * at.step);
          const float factor = i < rows ? term.factor[r / sample_rows] : 0.0f;
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
    reduce_columns(
        k, sums,
        [&](int channel, int, double sum) {
          if (alone) to.merged[t * k.channels + channel] = sum;
          else parts[static_cast<int64_t>(part) * to.size + (t - begin) * own + channel - first_channel] = sum;
        },
        block);
  }
  const auto keep = [&](int i, double sum) {
    const int t = begin + i / own, channel = first_channel + i % own;
    if (channel < k.channels) to.merged[t * k.channels + channel] = sum;
  };
  unsigned* const tickets = to.tickets + 1 + job * to.tree.tickets();
  if (!alone &&
      !merge_parts<kColumnThreads>(to.tree, Addition(), part, parts, (end - begin) * own, to.size, tickets, keep))
    return;
  if (last_block(to.tickets, gridDim.y * static_cast<unsigned>(to.shares)))
    finish_terms(out, to.merged, k.channels, table);
}

Columns columns_of(const View& g, int width) { return {g.rows(), g.last(), width, kRows, INT32_MAX}; }

/// Enough for either width, as whether rows are aligned shows only when the call is bound to memory, and for any
/// part of the terms that a launch may take.
size_t workspace(const Call& call) {
  const View& g = call.in[0];
  int sums = 1;
  for (const MixReduceAttrs::Term& term : call.attr<MixReduceAttrs>().terms) sums += term.sampled ? 2 : 1;
  int64_t most = 0;
  for (const int width : {1, 4})
    for (int terms = 1; terms <= std::min(kMaxTerms, sums); ++terms) {
      const Columns k = columns_of(g, width);
      most = std::max(most, MixSums(k, width, terms).doubles(k));
    }
  return sizeof(double) * static_cast<size_t>(most + int64_t{kMaxTerms} * g.last());
}

void run(const Call& call) {
  const auto& a = call.attr<MixReduceAttrs>();
  const View& g = call.in[0];
  const Out* dtable = a.dtable ? &call.out[0] : nullptr;
  auto* scratch = call.exec->scratch<double>();
  size_t at = a.first_term(), out = a.first_sums();
  for (size_t t = 0; t < a.terms.size();) {
    SumTerms sums;
    MergeTerms merge;
    bool aligned = in_fours(g), sampled = false;
    const bool first = t == 0;
    const auto entry = [&](const SumTerm& term) {
      sums.term[static_cast<size_t>(sums.count)] = term;
      return sums.count++;
    };
    entry({});
    for (; t < a.terms.size() && sums.count + (a.terms[t].sampled ? 2 : 1) <= kMaxTerms; ++t) {
      const MixReduceAttrs::Term& term = a.terms[t];
      const size_t z_at = std::exchange(at, at + term.inputs()),
                   s1_at = std::exchange(out, out + (term.sums ? 2 : 0));
      const View& z = call.in[z_at];
      if (!z.data) continue;
      const Loader<float> norm(call, term.load, z_at + 1);
      aligned = aligned && in_fours(z);
      sampled = sampled || term.sampled;
      const float* const factor = term.sampled ? call.in[at - 1].as<float>() : nullptr;
      const int sum_g = factor ? entry({{}, nullptr, factor}) : 0;
      const int sum_g_z = entry({StoredRows(z), norm.mean, factor});
      merge.term[static_cast<size_t>(merge.count++)] = {
          norm.rstd,
          norm.gamma,
          norm.beta,
          term.scaled ? call.in[1].as<float>() + table_offset(call.in[1], term.index) : nullptr,
          term.sums ? call.out[s1_at].as<float>() : nullptr,
          term.sums ? call.out[s1_at + 1].as<float>() : nullptr,
          term.weighted ? static_cast<int>(table_offset(*dtable, term.index)) : -1,
          static_cast<int8_t>(sum_g),
          static_cast<int8_t>(sum_g_z),
          term.sums && call.out[s1_at].write == Write::kAdd};
    }
    const TableGradient table = {dtable ? Rows{dtable->as<float>(), dtable->ld} : Rows{},
                                 dtable ? Extent{dtable->rows(), dtable->last()} : Extent{},
                                 dtable && first && dtable->write == Write::kSet};
    with_width(aligned, [&]<int kWidth>() {
      const Columns k = columns_of(g, kWidth);
      MixSums to(k, kWidth, sums.count);
      to.tickets = tickets_for(*call.exec, to.all_tickets(k));
      to.merged = scratch, to.partials = scratch + int64_t{kMaxTerms} * k.channels;
      launch_dependent(*call.exec, "mix_reduce_columns",
                       sampled ? mix_reduce_columns<kWidth, true> : mix_reduce_columns<kWidth, false>,
                       dim3(k.grid.x * static_cast<unsigned>(to.shares), k.grid.y), kColumnThreads, 0, sums, merge,
                       to, k, StoredRows(g), rows_per_sample(g), table);
    });
  }
}

constexpr Impl kReduce[] = {{"columns", all_float32_or_bf16, run, workspace}};
}  // namespace

std::span<const Impl> mix_reduce_cuda() { return kReduce; }
}  // namespace mixop::kernels
