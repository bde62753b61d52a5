#include "kernels/ops/global_pool.h"

#include <algorithm>

#include "kernels/core/wide_rows.h"
#include "kernels/ops/global_pool_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/global_pool_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"
#include "kernels/core/simd-inl.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
namespace {

/// sums += column sums of a block of rows, which are few enough to add in float32.
void AddRows(const float* x, int64_t ld, int64_t rows, int64_t width, double* sums) {
  for_columns(width, [&]<int G>(auto io, int64_t j) HWY_ATTR {
    const F32 d;
    Vec32 sum[G];
    for (int g = 0; g < G; ++g) sum[g] = hn::Zero(d);
    for (int64_t r = 0; r < rows; ++r)
      for (int g = 0; g < G; ++g) sum[g] = hn::Add(sum[g], io.load(x + r * ld + j + g * kLanes));
    HWY_ALIGN float lanes[G * kLanes];
    for (int g = 0; g < G; ++g) hn::Store(sum[g], d, lanes + g * kLanes);
    const int64_t n = std::min<int64_t>(G * kLanes, width - j);
    for (int64_t i = 0; i < n; ++i) sums[j + i] += lanes[i];
  });
}

/// One task an image; `sums` of each thread in the workspace.
void PoolRun(const Call& call) {
  constexpr int64_t kBlock = 64;
  const View &x = call.in[0], &y = call.out[0];
  const int64_t channels = x.last(), pixels = x.shape[1] * x.shape[2];
  const int64_t per_wide = rows_per_wide_row(channels, kLanes, x.ld == channels), width = channels * per_wide;
  parallel_for(*call.exec, x.shape[0], [&](int64_t image, int thread) {
    double* sums = call.exec->scratch<double>() + thread * widest_row(channels);
    std::fill_n(sums, width, 0.0);
    for_wide_rows({image * pixels, (image + 1) * pixels}, channels, per_wide,
                  [&](int64_t first, int64_t rows, int64_t columns) {
                    const int64_t ld = columns / channels * x.ld;
                    for (int64_t r = 0; r < rows; r += kBlock)
                      AddRows(x.as<float>() + first * x.ld + r * ld, ld, std::min(kBlock, rows - r), columns, sums);
                  });
    for (int64_t i = channels; i < width; ++i) sums[i % channels] += sums[i];
    for (int64_t c = 0; c < channels; ++c)
      y.as<float>()[image * y.ld + c] = static_cast<float>(sums[c] / static_cast<double>(pixels));
  });
}

/// out (+)= values for every row.
template <bool kAdd>
void FillRows(const float* values, float* out, int64_t ld, int64_t rows, int64_t width) {
  for (int64_t r = 0; r < rows; ++r, out += ld)
    for_vectors(width, [&](auto io, int64_t j) HWY_ATTR {
      Vec32 v = io.load(values + j);
      if constexpr (kAdd) v = hn::Add(v, io.load(out + j));
      io.store(v, out + j);
    });
}

void GradRun(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const int64_t channels = dx.last(), pixels = dx.shape[1] * dx.shape[2];
  const int64_t per_wide = rows_per_wide_row(channels, kLanes, dx.ld == channels), width = channels * per_wide;
  const auto fill = dx.write == Write::kAdd ? FillRows<true> : FillRows<false>;
  parallel_for(*call.exec, dx.shape[0], [&](int64_t image, int thread) {
    float* values = call.exec->scratch<float>() + thread * widest_row(channels);
    for (int64_t i = 0; i < width; ++i)
      values[i] = dy.as<float>()[image * dy.ld + i % channels] / static_cast<float>(pixels);
    for_wide_rows({image * pixels, (image + 1) * pixels}, channels, per_wide,
                  [&](int64_t first, int64_t rows, int64_t columns) {
                    fill(values, dx.as<float>() + first * dx.ld, columns / channels * dx.ld, rows, columns);
                  });
  });
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(PoolRun);
HWY_EXPORT(GradRun);
namespace {

void pool(const Call& call) { HWY_DYNAMIC_DISPATCH(PoolRun)(call); }
void grad(const Call& call) { HWY_DYNAMIC_DISPATCH(GradRun)(call); }
size_t pool_bytes(const Call& call) { return call.exec->threads * widest_row(call.in[0].last()) * sizeof(double); }
size_t grad_bytes(const Call& call) { return call.exec->threads * widest_row(call.in[0].last()) * sizeof(float); }

void run_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { global_avg_pool_ref<T>(call); });
}
void run_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { global_avg_pool_grad_ref<T>(call); });
}

constexpr Impl kPool[] = {{"rows", all_float32, pool, pool_bytes}, {"ref", any, run_ref}};
constexpr Impl kGrad[] = {{"rows", all_float32, grad, grad_bytes}, {"ref", any, run_grad_ref}};
}  // namespace

std::span<const Impl> global_avg_pool_cpu() { return kPool; }
std::span<const Impl> global_avg_pool_grad_cpu() { return kGrad; }
}  // namespace mixop::kernels
#endif
