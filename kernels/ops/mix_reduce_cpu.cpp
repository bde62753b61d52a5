// The sums of all terms of a mixed operation's gradient: blocks of rows of G stay in the first-level cache while
// the same rows of every z stream past them.
//   S1 = sum G, S2_t = sum G * (z_t - mean_t) for each column; rstd, gamma and beta follow in the merge
// The sums of a block, which never crosses samples where factors differ among them, are multiplied by its factor; a
// term with factors has an S1 of its own.
// Reads (terms + 1) T; composite: bn_reduce of each term, mix_weight_grad.
#include <algorithm>
#include <utility>

#include "kernels/core/wide_rows.h"
#include "kernels/ops/mix_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/mix_reduce_cpu.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/simd-inl.h"

#ifndef MIXOP_KERNELS_OPS_MIX_REDUCE_CPU_ONCE
#define MIXOP_KERNELS_OPS_MIX_REDUCE_CPU_ONCE
namespace mixop::kernels {
namespace {
constexpr int64_t kBlockElements = 4096;  // 16 KB of G; a column's sum stays in float32 over one block

struct Operand {
  const float* z;
  int64_t ld;
  const float* mean;    ///< repeated to the wide row; null without a norm
  const float* factor;  ///< of each sample, or null
  int64_t s1, s2;       ///< the rows of its S1 and S2 among the partial sums
};

/// Wide rows of doubles that a task sums into: S1, then S2 of each term, then S1 of each sampled term.
size_t partial_rows(const Call& call) {
  const auto& terms = call.attr<MixReduceAttrs>().terms;
  return 1 + terms.size() + static_cast<size_t>(std::ranges::count_if(terms, &MixAttrs::Term::sampled));
}
int64_t partial_size(const Call& call) {
  return static_cast<int64_t>(partial_rows(call)) * widest_row(call.in[0].last());
}

size_t workspace(const Call& call) {
  const size_t terms = call.attr<MixReduceAttrs>().terms.size(), row = widest_row(call.in[0].last());
  return kMaxPartials * partial_size(call) * sizeof(double) + terms * (row * sizeof(float) + sizeof(Operand));
}

/// The operands of the terms that are there with their means, laid out behind the partials.
std::span<const Operand> lay_out(const Call& call, int64_t width) {
  const auto& a = call.attr<MixReduceAttrs>();
  auto* out = call.exec->scratch<Operand>(kMaxPartials * partial_size(call) * sizeof(double));
  auto* means = reinterpret_cast<float*>(out + a.terms.size());
  size_t at = a.first_term();
  int64_t own_s1 = static_cast<int64_t>(1 + a.terms.size());
  Operand* next = out;
  for (size_t t = 0; t < a.terms.size(); ++t) {
    const size_t z = std::exchange(at, at + a.terms[t].inputs());
    if (!call.in[z].data) continue;
    const bool sampled = a.terms[t].sampled;
    const Loader<float> norm(call, a.terms[t].load, z + 1);
    *next++ = {call.in[z].as<float>(),      call.in[z].ld,
               norm.mean ? means : nullptr, sampled ? call.in[at - 1].as<float>() : nullptr,
               sampled ? own_s1++ : 0,      static_cast<int64_t>(t + 1)};
    for (int64_t i = 0; norm.mean && i < width; ++i) *means++ = norm.mean[i % call.in[0].last()];
  }
  return {out, next};
}

bool all_dense(const Call& call) {
  const auto& a = call.attr<MixReduceAttrs>();
  bool yes = call.in[0].ld == call.in[0].last();
  size_t at = a.first_term();
  for (const MixReduceAttrs::Term& t : a.terms) {
    yes = yes && (!call.in[at].data || call.in[at].ld == call.in[at].last());
    at += t.inputs();
  }
  return yes;
}

/// The outputs of the complete sums, whose rows are `row` doubles apart.
void write_outputs(const Call& call, std::span<const Operand> operands, const double* sums, int64_t row) {
  const auto& a = call.attr<MixReduceAttrs>();
  const int64_t channels = call.in[0].last();
  const auto put = [](const Out& out, int64_t at, double value) {
    float& v = out.as<float>()[at];
    v = out.write == Write::kAdd ? v + static_cast<float>(value) : static_cast<float>(value);
  };
  if (a.dtable && call.out[0].write == Write::kSet)
    for (int64_t i = 0; i < call.out[0].shape.elements(); ++i)
      call.out[0].as<float>()[table_offset(call.out[0], i)] = 0;
  size_t next_at = a.first_term(), next_out = a.first_sums();
  auto operand = operands.begin();
  for (const MixReduceAttrs::Term& term : a.terms) {
    const size_t at = std::exchange(next_at, next_at + term.inputs());
    const size_t out = std::exchange(next_out, next_out + (term.sums ? 2 : 0));
    if (!call.in[at].data) continue;
    const double *const s1 = sums + operand->s1 * row, *const s2 = sums + operand->s2 * row;
    ++operand;
    const Loader<float> norm(call, term.load, at + 1);
    const double scale = term.scaled ? call.in[1].as<float>()[table_offset(call.in[1], term.index)] : 1.0f;
    double dot = 0;
    for (int64_t c = 0; c < channels; ++c) {
      const double product = norm.rstd ? s2[c] * norm.rstd[c] : s2[c];
      dot += norm.gamma ? norm.gamma[c] * product + norm.beta[c] * s1[c] : product;
      if (!term.sums) continue;
      put(call.out[out], c, scale * s1[c]);
      put(call.out[out + 1], c, scale * product);
    }
    if (term.weighted) call.out[0].as<float>()[table_offset(call.out[0], term.index)] += static_cast<float>(dot);
  }
}
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// Rows that lie ld elements apart.
struct Rows {
  const float* data;
  int64_t ld;
};

enum class Kind : uint8_t { kSum, kProduct, kCentred };

/// sums += factor * column sums over a block of rows: of g, g z or g (z - mean). Asks for the block that will be
/// read next: jumping from term to term defeats the hardware's own prefetch.
template <Kind kKind>
void AddColumns(Rows g, Rows z, const float* mean, Rows next, int64_t rows, int64_t width, double factor,
                double* sums) {
  for_columns(width, [&]<int G>(auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 centre[G], sum[G];
    for (int i = 0; i < G; ++i) {
      sum[i] = hn::Zero(d);
      if constexpr (kKind == Kind::kCentred) centre[i] = io.load(mean + j + i * kLanes);
    }
    const float *p = g.data + j, *q = z.data + j, *ahead = next.data + j;
    for (int64_t r = 0; r < rows; ++r, p += g.ld, q += z.ld, ahead += next.ld)
      for (int i = 0; i < G; ++i) {
        const Vec32 v = io.load(p + i * kLanes);
        hwy::Prefetch(ahead + i * kLanes);
        if constexpr (kKind == Kind::kSum) {
          sum[i] = hn::Add(sum[i], v);
        } else {
          Vec32 x = io.load(q + i * kLanes);
          if constexpr (kKind == Kind::kCentred) x = hn::Sub(x, centre[i]);
          sum[i] = hn::MulAdd(v, x, sum[i]);
        }
      }
    HWY_ALIGN float lanes[G * kLanes];
    for (int i = 0; i < G; ++i) hn::Store(sum[i], d, lanes + i * kLanes);
    if (j + G * kLanes <= width)  // a known number of columns becomes vector code
      for (int64_t i = 0; i < G * kLanes; ++i) sums[j + i] += factor * lanes[i];
    else
      for (int64_t i = 0; i < width - j; ++i) sums[j + i] += factor * lanes[i];
  });
}

void ReduceRun(const Call& call) {
  const View& g = call.in[0];
  const int64_t channels = g.last(), per_wide = rows_per_wide_row(channels, kLanes, all_dense(call));
  const int64_t width = channels * per_wide, size = partial_size(call), row = widest_row(channels);
  const size_t sum_rows = partial_rows(call);
  double* partials = call.exec->scratch<double>();
  const std::span<const Operand> term = lay_out(call, width);
  const size_t terms = term.size();
  const bool shared_s1 = std::any_of(term.begin(), term.end(), [](const Operand& o) { return !o.factor; });
  const int64_t sample_rows =
      sum_rows > 1 + call.attr<MixReduceAttrs>().terms.size() ? rows_per_sample(g) : g.rows();
  const int64_t block = rows_per_task(channels, per_wide, kBlockElements);
  const int64_t blocks = (g.rows() + block - 1) / block, tasks = std::min(kMaxPartials, blocks);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) HWY_ATTR {
    double* sums = partials + task * size;
    std::fill(sums, sums + size, 0.0);
    const Range mine = part_of(blocks, tasks, task);
    const int64_t end = std::min(g.rows(), mine.end * block);
    for (int64_t begin = mine.begin * block, after; begin < end; begin = after) {
      const int64_t sample = begin / sample_rows;
      after = std::min({end, begin + block, (sample + 1) * sample_rows});
      for_wide_rows({begin, after}, channels, per_wide, [&](int64_t first, int64_t rows, int64_t columns) HWY_ATTR {
        const int64_t wide = columns / channels;
        const auto block_of = [&](const Operand& o) { return Rows{o.z + first * o.ld, wide * o.ld}; };
        const Rows grad{g.as<float>() + first * g.ld, wide * g.ld};
        const auto add_s1 = [&](const Operand& o, double factor) HWY_ATTR {
          AddColumns<Kind::kSum>(grad, grad, nullptr, block_of(o), rows, columns, factor, sums + o.s1 * row);
        };
        if (shared_s1) add_s1({term[0].z, term[0].ld, nullptr, nullptr, 0, 0}, 1);
        for (size_t t = 0; t < terms; ++t) {
          const Operand& o = term[t];
          const double factor = o.factor ? o.factor[sample] : 1.0;
          if (o.factor) add_s1(o, factor);
          const Rows next = t + 1 < terms ? block_of(term[t + 1]) : Rows{grad.data + block * g.ld, grad.ld};
          const auto add = o.mean ? AddColumns<Kind::kCentred> : AddColumns<Kind::kProduct>;
          add(grad, block_of(o), o.mean, next, rows, columns, factor, sums + o.s2 * row);
        }
      });
    }
    for (size_t t = 0; t < sum_rows; ++t)  // fold the repeated columns into the first `channels`
      for (int64_t k = channels; k < width; k += channels)
        for (int64_t c = 0; c < channels; ++c) sums[t * row + c] += sums[t * row + k + c];
  });
  for (int64_t task = 1; task < tasks; ++task)
    for (size_t t = 0; t < sum_rows; ++t)
      for (int64_t c = 0; c < channels; ++c) partials[t * row + c] += partials[task * size + t * row + c];
  write_outputs(call, term, partials, row);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(ReduceRun);
namespace {

void reduce_rows(const Call& call) { HWY_DYNAMIC_DISPATCH(ReduceRun)(call); }

void run_ref(const Call& call) {
  with_float(call.in[0].dtype, [&]<class T>() { mix_reduce_ref<T>(call); });
}

constexpr Impl kReduce[] = {{"rows", all_float32, reduce_rows, workspace}, {"ref", any, run_ref}};
}  // namespace

std::span<const Impl> mix_reduce_cpu() { return kReduce; }
}  // namespace mixop::kernels
#endif
