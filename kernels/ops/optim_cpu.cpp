#include "kernels/ops/optim.h"

#include <algorithm>

#include "kernels/ops/optim_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/optim_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
double SumSquares(const float* x, int64_t n) { return sum_squares(x, n); }
void Sgd(const SgdScalars<float>& s, float* p, const float* g, float* b, int64_t n) { sgd_range(s, p, g, b, n); }
// With intrinsics, because compilers do not vectorise std::sqrt, which may set errno.
void Adam(const AdamScalars<float>& s, float* p, const float* grad, float* m, float* v, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto all = [&](float x) { return hn::Set(d, x); };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto param = hn::LoadU(d, p + i);
    const auto g = hn::MulAdd(all(s.decay), param, hn::Mul(hn::LoadU(d, grad + i), all(s.clip)));
    const auto mean = hn::MulAdd(all(s.beta1), hn::LoadU(d, m + i), hn::Mul(all(s.rest1), g));
    const auto square = hn::MulAdd(all(s.beta2), hn::LoadU(d, v + i), hn::Mul(hn::Mul(all(s.rest2), g), g));
    const auto step = hn::Div(mean, hn::MulAdd(hn::Sqrt(square), all(s.root), all(s.eps)));
    hn::StoreU(mean, d, m + i);
    hn::StoreU(square, d, v + i);
    hn::StoreU(hn::NegMulAdd(all(s.rate), step, hn::Mul(param, all(s.shrink))), d, p + i);
  }
  adam_range(s, p + i, grad + i, m + i, v + i, n - i);
}
void Rmsprop(const RmspropScalars<float>& s, float* p, const float* grad, float* square, float* buffer, int64_t n) {
  namespace hn = hwy::HWY_NAMESPACE;
  const hn::ScalableTag<float> d;
  const auto lanes = static_cast<int64_t>(hn::Lanes(d));
  const auto all = [&](float x) { return hn::Set(d, x); };
  int64_t i = 0;
  for (; i + lanes <= n; i += lanes) {
    const auto param = hn::LoadU(d, p + i);
    const auto g = hn::MulAdd(all(s.decay), param, hn::Mul(hn::LoadU(d, grad + i), all(s.clip)));
    const auto mean = hn::MulAdd(all(s.alpha), hn::LoadU(d, square + i), hn::Mul(hn::Mul(all(s.rest), g), g));
    auto step = hn::Div(g, hn::Add(hn::Sqrt(mean), all(s.eps)));
    hn::StoreU(mean, d, square + i);
    if (s.momentum != 0) {
      step = hn::MulAdd(all(s.momentum), hn::LoadU(d, buffer + i), step);
      hn::StoreU(step, d, buffer + i);
    }
    hn::StoreU(hn::NegMulAdd(all(s.lr), step, param), d, p + i);
  }
  rmsprop_range(s, p + i, grad + i, square + i, buffer + i, n - i);
}
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(SumSquares);
HWY_EXPORT(Sgd);
HWY_EXPORT(Adam);
HWY_EXPORT(Rmsprop);
namespace {

constexpr int64_t kChunk = 1 << 14;
int64_t chunks(int64_t n) { return (n + kChunk - 1) / kChunk; }

/// Calls f(offset, count) for each chunk of n elements.
template <class F>
void each_chunk(const Call& call, F&& f) {
  const int64_t n = call.in[0].shape.elements();
  parallel_for(*call.exec, chunks(n), [&](int64_t i, int) { f(i * kChunk, std::min(kChunk, n - i * kChunk)); });
}

size_t norm_workspace(const Call& call) {
  return static_cast<size_t>(chunks(call.in[0].shape.elements())) * sizeof(double);
}

void run_norm(const Call& call) {
  const float* x = call.in[0].as<float>();
  double* partial = call.exec->scratch<double>();
  const auto squares = HWY_DYNAMIC_DISPATCH(SumSquares);
  each_chunk(call, [&](int64_t at, int64_t n) { partial[at / kChunk] = squares(x + at, n); });
  double sum = 0;
  for (int64_t i = 0; i < chunks(call.in[0].shape.elements()); ++i) sum += partial[i];
  *call.out[0].as<float>() = static_cast<float>(std::sqrt(sum));
}

void run_sgd(const Call& call) {
  const SgdScalars<float> scalars(call);
  float *p = call.in[0].as<float>(), *g = call.in[1].as<float>(), *b = call.in[2].as<float>();
  const auto range = HWY_DYNAMIC_DISPATCH(Sgd);
  each_chunk(call, [&](int64_t at, int64_t n) { range(scalars, p + at, g + at, b + at, n); });
}

void run_adam(const Call& call) {
  const AdamScalars<float> scalars(call);
  float *p = call.in[0].as<float>(), *g = call.in[1].as<float>();
  float *m = call.in[2].as<float>(), *v = call.in[3].as<float>();
  const auto range = HWY_DYNAMIC_DISPATCH(Adam);
  each_chunk(call, [&](int64_t at, int64_t n) { range(scalars, p + at, g + at, m + at, v + at, n); });
}

void run_rmsprop(const Call& call) {
  const RmspropScalars<float> scalars(call);
  float *p = call.in[0].as<float>(), *g = call.in[1].as<float>();
  float *square = call.in[2].as<float>(), *b = call.in[3].as<float>();
  const auto range = HWY_DYNAMIC_DISPATCH(Rmsprop);
  each_chunk(call, [&](int64_t at, int64_t n) { range(scalars, p + at, g + at, square + at, b + at, n); });
}

void run_norm_ref(const Call& call) {
  with_float(call.in[0].dtype, [&]<class T>() { grad_norm_ref<T>(call); });
}
void run_sgd_ref(const Call& call) {
  with_float(call.in[0].dtype, [&]<class T>() { sgd_step_ref<T>(call); });
}
void run_adam_ref(const Call& call) {
  with_float(call.in[0].dtype, [&]<class T>() { adam_step_ref<T>(call); });
}
void run_rmsprop_ref(const Call& call) {
  with_float(call.in[0].dtype, [&]<class T>() { rmsprop_step_ref<T>(call); });
}

constexpr Impl kNorm[] = {{"chunks", all_float32, run_norm, norm_workspace}, {"ref", any, run_norm_ref}};
constexpr Impl kSgd[] = {{"chunks", all_float32, run_sgd}, {"ref", any, run_sgd_ref}};
constexpr Impl kAdam[] = {{"chunks", all_float32, run_adam}, {"ref", any, run_adam_ref}};
constexpr Impl kRmsprop[] = {{"chunks", all_float32, run_rmsprop}, {"ref", any, run_rmsprop_ref}};
}  // namespace

std::span<const Impl> grad_norm_cpu() { return kNorm; }
std::span<const Impl> sgd_step_cpu() { return kSgd; }
std::span<const Impl> adam_step_cpu() { return kAdam; }
std::span<const Impl> rmsprop_step_cpu() { return kRmsprop; }
}  // namespace mixop::kernels
#endif
