#include "kernels/ops/mix.h"

#include <algorithm>

#include "kernels/core/wide_rows.h"
#include "kernels/ops/mix_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/mix_cpu.cpp"
#include "hwy/cache_control.h"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/simd-inl.h"

#ifndef MIXOP_KERNELS_OPS_MIX_CPU_ONCE
#define MIXOP_KERNELS_OPS_MIX_CPU_ONCE
namespace mixop::kernels {
namespace {
constexpr int64_t kBlockElements = 4096;  // 16 KB of the sum (or of G) stay in the first-level cache
constexpr int64_t kTaskBlocks = 4;
/// Prefetch distance in elements: jumping between the terms defeats the hardware's own (1.5 times faster so).
constexpr int64_t kAhead = 1024;

/// One term with its channel constants repeated to the wide row; null without normalisation.
struct MixTerm {
  const float* z;
  int64_t ld, index;
  float weight;
  const float* factor;  ///< of each sample, or null
  OnLoad load;
  float *mean, *scale, *beta;
};

int kind(const MixTerm& t) { return 2 * t.load.norm + t.load.relu; }

bool dense(const View& v) { return v.ld == v.last(); }

/// Every activation that is there is contiguous, `first` being the index of the first term's z.
bool all_dense(const Call& call, const View& other, size_t first) {
  bool yes = dense(other);
  for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
    yes = yes && (!call.in[first].data || dense(call.in[first]));
    first += term.inputs();
  }
  return yes;
}

size_t terms_bytes(const Call& call, int64_t channels) {
  return call.attr<MixAttrs>().terms.size() * (sizeof(MixTerm) + 3 * widest_row(channels) * sizeof(float));
}

void repeat_constants(const Loader<float>& norm, int64_t channels, int64_t width, float* memory, MixTerm& term) {
  term.mean = memory;
  term.scale = memory + width;
  term.beta = memory + 2 * width;
  for (int64_t i = 0, c = 0; i < width; ++i, c = i % channels) {
    term.mean[i] = norm.mean[c];
    term.scale[i] = norm.gamma ? norm.rstd[c] * norm.gamma[c] : norm.rstd[c];
    term.beta[i] = norm.beta ? norm.beta[c] : 0;
  }
}

/// Lays the terms that are there, and their constants, out in the workspace, for rows of per_wide * C elements;
/// terms of the same kind are neighbours.
std::span<MixTerm> lay_out_terms(const Call& call, size_t at, std::byte* memory, int64_t channels,
                                 int64_t per_wide) {
  const auto& terms = call.attr<MixAttrs>().terms;
  auto* out = reinterpret_cast<MixTerm*>(memory);
  auto* constants = reinterpret_cast<float*>(out + terms.size());
  const int64_t width = channels * per_wide;
  MixTerm* next = out;
  for (const bool norm : {false, true})
    for (const bool relu : {false, true}) {
      size_t z = at;
      for (const MixAttrs::Term& term : terms) {
        const size_t its = z;
        z += term.inputs();
        if (!call.in[its].data || term.load.norm != norm || term.load.relu != relu) continue;
        *next = {call.in[its].as<float>(),
                 call.in[its].ld,
                 term.index,
                 0,
                 nullptr,
                 term.load,
                 nullptr,
                 nullptr,
                 nullptr};
        if (term.sampled) next->factor = call.in[z - 1].as<float>();
        if (norm) {
          repeat_constants(Loader<float>(call, term.load, its + 1), channels, width, constants, *next);
          constants += 3 * width;
        }
        ++next;
      }
    }
  return {out, next};
}
}  // namespace
}  // namespace mixop::kernels
#endif

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// t(z) for the vector at j.
template <bool kNorm, bool kRelu, class Io>
HWY_INLINE Vec32 Transformed(const MixTerm& t, const float* z, Io io, int64_t j) {
  hwy::Prefetch(z + j + kAhead);
  Vec32 v = io.load(z + j);
  if constexpr (kNorm) v = hn::MulAdd(hn::Sub(v, io.load(t.mean + j)), io.load(t.scale + j), io.load(t.beta + j));
  if constexpr (kRelu) v = hn::IfThenZeroElse(hn::Le(v, hn::Zero(F32())), v);  // a NaN stays
  return v;
}

/// y (+)= sum over kTerms terms of w * t(z) on a block of rows: the sum stays in a register, and that many streams
/// from memory run side by side.
template <int kTerms, bool kNorm, bool kRelu, bool kAdd>
void AddTerms(const MixTerm* t, int64_t sample, int64_t first, int64_t wide, float* y, int64_t ldy, int64_t rows,
              int64_t width) {
  MixTerm own[kTerms];  // copies: a store to y cannot change them
  Vec32 w[kTerms];
  for (int i = 0; i < kTerms; ++i) {
    own[i] = t[i];
    own[i].z += first * t[i].ld;
    w[i] = hn::Set(F32(), t[i].factor ? t[i].weight * t[i].factor[sample] : t[i].weight);
  }
  for (int64_t r = 0; r < rows; ++r, y += ldy) {
    for_vectors(width, [&](auto io, int64_t j) HWY_ATTR {
      Vec32 sum = hn::Zero(F32());
      if constexpr (kAdd) sum = io.load(y + j);
      for (int i = 0; i < kTerms; ++i)
        sum = hn::MulAdd(w[i], Transformed<kNorm, kRelu>(own[i], own[i].z, io, j), sum);
      io.store(sum, y + j);
    });
    for (int i = 0; i < kTerms; ++i) own[i].z += wide * own[i].ld;
  }
}

/// Sum of g * t(z) over a block of rows.
template <bool kNorm, bool kRelu>
double Dot(const MixTerm& t, const float* z, int64_t ldz, const float* g, int64_t ldg, int64_t rows,
           int64_t width) {
  const F32 d;
  Vec32 sum[4] = {hn::Zero(d), hn::Zero(d), hn::Zero(d), hn::Zero(d)};
  for (int64_t r = 0; r < rows; ++r, z += ldz, g += ldg)
    for_columns(width, [&]<int G>(auto io, int64_t j) HWY_ATTR {
      for (int i = 0; i < G; ++i) {
        const int64_t at = j + i * kLanes;
        sum[i] = hn::MulAdd(io.load(g + at), Transformed<kNorm, kRelu>(t, z, io, at), sum[i]);
      }
    });
  HWY_ALIGN float lanes[4 * kLanes];
  for (int i = 0; i < 4; ++i) hn::Store(sum[i], d, lanes + i * kLanes);
  double total = 0;
  for (const float v : lanes) total += v;
  return total;
}

// By [norm][relu], and [add] of AddTerm.
constexpr decltype(&Dot<false, false>) kDot[2][2] = {{Dot<false, false>, Dot<false, true>},
                                                     {Dot<true, false>, Dot<true, true>}};
using AddTermsFn = decltype(&AddTerms<1, false, false, false>);
template <int kTerms>
constexpr AddTermsFn kAddTerms[2][2][2] = {
    {{AddTerms<kTerms, false, false, false>, AddTerms<kTerms, false, false, true>},
     {AddTerms<kTerms, false, true, false>, AddTerms<kTerms, false, true, true>}},
    {{AddTerms<kTerms, true, false, false>, AddTerms<kTerms, true, false, true>},
     {AddTerms<kTerms, true, true, false>, AddTerms<kTerms, true, true, true>}}};

void MixRun(const Call& call) {
  const Out& y = call.out[0];
  const size_t at = call.attr<MixAttrs>().first_term();
  const int64_t channels = y.last(), per_wide = rows_per_wide_row(channels, kLanes, all_dense(call, y, at));
  const std::span<MixTerm> list = lay_out_terms(call, at, call.exec->workspace, channels, per_wide);
  const auto terms = static_cast<int>(list.size());
  MixTerm* const term = list.data();
  for (MixTerm& t : list) t.weight = weight_of<float>(call, t.index);
  const int64_t block = rows_per_task(channels, per_wide, kBlockElements), task_rows = block * kTaskBlocks;
  const bool sampled = std::any_of(term, term + terms, [](const MixTerm& t) { return t.factor; });
  const int64_t sample_rows = sampled ? rows_per_sample(y) : y.rows();  // a block never crosses samples
  parallel_for(*call.exec, (y.rows() + task_rows - 1) / task_rows, [&](int64_t task, int) {
    const int64_t end = std::min(y.rows(), (task + 1) * task_rows);
    for (int64_t begin = task * task_rows, next; begin < end; begin = next) {
      const int64_t sample = begin / sample_rows;
      next = std::min({end, begin + block, (sample + 1) * sample_rows});
      for_wide_rows({begin, next}, channels, per_wide, [&](int64_t first, int64_t rows, int64_t width) {
        const int64_t wide = width / channels;
        if (terms == 0 && y.write == Write::kSet)
          for (int64_t r = 0; r < rows; ++r)
            std::fill_n(y.as<float>() + first * y.ld + r * wide * y.ld, width, 0.0f);
        for (int t = 0, n = 0; t < terms; t += n) {
          const OnLoad& load = term[t].load;
          int same = 1;
          while (same < 4 && t + same < terms && kind(term[t + same]) == kind(term[t])) ++same;
          n = same == 3 ? 2 : same;
          const auto& add = n == 4 ? kAddTerms<4> : n == 2 ? kAddTerms<2> : kAddTerms<1>;
          add[load.norm][load.relu][t > 0 || y.write == Write::kAdd](
              term + t, sample, first, wide, y.as<float>() + first * y.ld, wide * y.ld, rows, width);
        }
      });
    }
  });
}

void WeightGradRun(const Call& call) {
  const View& g = call.in[0];
  const Out& dtable = call.out[0];
  const int64_t channels = g.last(), per_wide = rows_per_wide_row(channels, kLanes, all_dense(call, g, 2));
  double* partials = call.exec->scratch<double>();
  const size_t most = kMaxPartials * call.attr<MixAttrs>().terms.size() * sizeof(double);
  const std::span<const MixTerm> term = lay_out_terms(call, 2, call.exec->workspace + most, channels, per_wide);
  const size_t terms = term.size();
  const int64_t block = rows_per_task(channels, per_wide, kBlockElements);
  const int64_t blocks = (g.rows() + block - 1) / block, tasks = std::min(kMaxPartials, blocks);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    double* sum = partials + task * terms;
    std::fill(sum, sum + terms, 0.0);
    const Range mine = part_of(blocks, tasks, task);
    for (int64_t b = mine.begin; b < mine.end; ++b)
      for_wide_rows({b * block, std::min(g.rows(), (b + 1) * block)}, channels, per_wide,
                    [&](int64_t first, int64_t rows, int64_t width) {
                      const int64_t wide = width / channels;
                      for (size_t t = 0; t < terms; ++t) {
                        const MixTerm& m = term[t];
                        sum[t] +=
                            kDot[m.load.norm][m.load.relu](m, m.z + first * m.ld, wide * m.ld,
                                                           g.as<float>() + first * g.ld, wide * g.ld, rows, width);
                      }
                    });
  });
  float* out = dtable.as<float>();
  if (dtable.write == Write::kSet)
    for (int64_t i = 0; i < dtable.shape.elements(); ++i) out[table_offset(dtable, i)] = 0;
  for (size_t t = 0; t < terms; ++t) {
    double sum = 0;
    for (int64_t p = 0; p < tasks; ++p) sum += partials[p * terms + t];
    out[table_offset(dtable, term[t].index)] += static_cast<float>(sum);
  }
}

void ScaleRun(const Call& call) {
  const View &table = call.in[0], &x = call.in[1];
  const Out& y = call.out[0];
  const float weight = table.as<float>()[table_offset(table, call.attr<ScaleAttrs>().index)];
  const bool flat = dense(x) && dense(y);  // then one long row, cut anywhere
  const int64_t channels = flat ? kBlockElements * kTaskBlocks : x.last();
  const int64_t rows = flat ? (x.shape.elements() + channels - 1) / channels : x.rows();
  const int64_t ldx = flat ? channels : x.ld, ldy = flat ? channels : y.ld;
  const int64_t task_rows = rows_per_task(channels, 1, kBlockElements * kTaskBlocks);
  const auto run = kAddTerms<1>[false][false][y.write == Write::kAdd];
  parallel_for(*call.exec, (rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
    const int64_t begin = task * task_rows, n = std::min(rows - begin, task_rows);
    const int64_t width = flat ? std::min(channels, x.shape.elements() - begin * channels) : channels;
    const MixTerm term{x.as<float>(), ldx, 0, weight, nullptr, {}, nullptr, nullptr, nullptr};
    run(&term, 0, begin, 1, y.as<float>() + begin * ldy, ldy, n, width);
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(MixRun);
HWY_EXPORT(ScaleRun);
HWY_EXPORT(WeightGradRun);
namespace {

void mix_rows(const Call& call) { HWY_DYNAMIC_DISPATCH(MixRun)(call); }
void scale_rows(const Call& call) { HWY_DYNAMIC_DISPATCH(ScaleRun)(call); }
void weight_grad_rows(const Call& call) { HWY_DYNAMIC_DISPATCH(WeightGradRun)(call); }

size_t mix_bytes(const Call& call) { return terms_bytes(call, call.out[0].last()); }
size_t weight_grad_bytes(const Call& call) {
  return kMaxPartials * call.attr<MixAttrs>().terms.size() * sizeof(double) + terms_bytes(call, call.in[0].last());
}

void run_mix_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { mix_ref<T>(call); });
}
void run_scale_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { scale_ref<T>(call); });
}
void run_weight_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { mix_weight_grad_ref<T>(call); });
}

constexpr Impl kMix[] = {{"rows", all_float32, mix_rows, mix_bytes}, {"ref", any, run_mix_ref}};
constexpr Impl kScale[] = {{"rows", all_float32, scale_rows}, {"ref", any, run_scale_ref}};
constexpr Impl kWeightGrad[] = {{"rows", all_float32, weight_grad_rows, weight_grad_bytes},
                                {"ref", any, run_weight_grad_ref}};
}  // namespace

std::span<const Impl> mix_cpu() { return kMix; }
std::span<const Impl> scale_cpu() { return kScale; }
std::span<const Impl> mix_weight_grad_cpu() { return kWeightGrad; }
}  // namespace mixop::kernels
#endif
