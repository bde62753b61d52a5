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
constexpr int64_t kMaxPartials = 32;  // of reductions: fixed, so that sums do not depend on the number of threads

/// One term with its channel constants repeated to the wide row; null without normalisation.
struct MixTerm {
  const float* z;
  int64_t ld, index;
  OnLoad load;
  float *mean, *scale, *beta;
};

bool dense(const View& v) { return v.ld == v.last(); }

/// Every activation is contiguous, `first` being the index of the first term's z.
bool all_dense(const Call& call, const View& other, size_t first) {
  bool yes = dense(other);
  for (const MixAttrs::Term& term : call.attr<MixAttrs>().terms) {
    yes = yes && dense(call.in[first]);
    first += 1 + term.load.inputs();
  }
  return yes;
}

size_t terms_bytes(const Call& call, int64_t channels) {
  return call.attr<MixAttrs>().terms.size() * (sizeof(MixTerm) + 3 * widest_row(channels) * sizeof(float));
}

/// Lays the terms and their constants out in the workspace, for rows of per_wide * C elements.
MixTerm* lay_out_terms(const Call& call, size_t at, std::byte* memory, int64_t channels, int64_t per_wide) {
  const auto& terms = call.attr<MixAttrs>().terms;
  auto* out = reinterpret_cast<MixTerm*>(memory);
  auto* constants = reinterpret_cast<float*>(out + terms.size());
  const int64_t width = channels * per_wide;
  for (size_t t = 0; t < terms.size(); ++t) {
    const OnLoad& load = terms[t].load;
    const Loader<float> norm(call, load, at + 1);
    out[t] = {call.in[at].as<float>(), call.in[at].ld, terms[t].index, load, nullptr, nullptr, nullptr};
    at += 1 + load.inputs();
    if (!load.norm) continue;
    out[t].mean = constants;
    out[t].scale = constants + width;
    out[t].beta = constants + 2 * width;
    constants += 3 * width;
    for (int64_t i = 0, c = 0; i < width; ++i, c = i % channels) {
      out[t].mean[i] = norm.mean[c];
      out[t].scale[i] = norm.gamma ? norm.rstd[c] * norm.gamma[c] : norm.rstd[c];
      out[t].beta[i] = norm.beta ? norm.beta[c] : 0;
    }
  }
  return out;
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

/// y (+)= w * t(z) on a block of rows.
template <bool kNorm, bool kRelu, bool kAdd>
void AddTerm(const MixTerm& t, float weight, const float* z, int64_t ldz, float* y, int64_t ldy, int64_t rows,
             int64_t width) {
  const Vec32 w = hn::Set(F32(), weight);
  for (int64_t r = 0; r < rows; ++r, z += ldz, y += ldy)
    for_vectors(width, [&](auto io, int64_t j) HWY_ATTR {
      const Vec32 v = Transformed<kNorm, kRelu>(t, z, io, j);
      if constexpr (kAdd) io.store(hn::MulAdd(w, v, io.load(y + j)), y + j);
      else io.store(hn::Mul(w, v), y + j);
    });
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
constexpr decltype(&AddTerm<false, false, false>) kAddTerm[2][2][2] = {
    {{AddTerm<false, false, false>, AddTerm<false, false, true>},
     {AddTerm<false, true, false>, AddTerm<false, true, true>}},
    {{AddTerm<true, false, false>, AddTerm<true, false, true>},
     {AddTerm<true, true, false>, AddTerm<true, true, true>}}};

void MixRun(const Call& call) {
  const View& table = call.in[0];
  const Out& y = call.out[0];
  const int64_t channels = y.last(), per_wide = rows_per_wide_row(channels, kLanes, all_dense(call, y, 1));
  const size_t terms = call.attr<MixAttrs>().terms.size();
  const MixTerm* term = lay_out_terms(call, 1, call.exec->workspace, channels, per_wide);
  const int64_t block = rows_per_task(channels, per_wide, kBlockElements), task_rows = block * kTaskBlocks;
  parallel_for(*call.exec, (y.rows() + task_rows - 1) / task_rows, [&](int64_t task, int) {
    const int64_t end = std::min(y.rows(), (task + 1) * task_rows);
    for (int64_t begin = task * task_rows; begin < end; begin += block) {
      for_wide_rows({begin, std::min(end, begin + block)}, channels, per_wide,
                    [&](int64_t first, int64_t rows, int64_t width) {
                      const int64_t wide = width / channels;
                      for (size_t t = 0; t < terms; ++t) {
                        const MixTerm& m = term[t];
                        const bool add = t > 0 || y.write == Write::kAdd;
                        kAddTerm[m.load.norm][m.load.relu][add](
                            m, table.as<float>()[table_offset(table, m.index)], m.z + first * m.ld, wide * m.ld,
                            y.as<float>() + first * y.ld, wide * y.ld, rows, width);
                      }
                    });
    }
  });
}

void WeightGradRun(const Call& call) {
  const View& g = call.in[0];
  const Out& dtable = call.out[0];
  const int64_t channels = g.last(), per_wide = rows_per_wide_row(channels, kLanes, all_dense(call, g, 2));
  const size_t terms = call.attr<MixAttrs>().terms.size();
  double* partials = call.exec->scratch<double>();
  const MixTerm* term =
      lay_out_terms(call, 2, call.exec->workspace + kMaxPartials * terms * sizeof(double), channels, per_wide);
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
  const auto run = kAddTerm[false][false][y.write == Write::kAdd];
  parallel_for(*call.exec, (rows + task_rows - 1) / task_rows, [&](int64_t task, int) {
    const int64_t begin = task * task_rows, n = std::min(rows - begin, task_rows);
    const int64_t width = flat ? std::min(channels, x.shape.elements() - begin * channels) : channels;
    run({}, weight, x.as<float>() + begin * ldx, ldx, y.as<float>() + begin * ldy, ldy, n, width);
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
