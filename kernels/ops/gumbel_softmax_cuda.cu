#include "kernels/ops/gumbel_softmax.h"

#include "kernels/core/cuda/row_groups.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;
using Lanes = Group<kWarp>;  // tables of architecture parameters have short rows

struct Rows {
  float* data;
  int64_t ld;
  __device__ __forceinline__ float* row(int64_t i) const { return data + i * ld; }
};
Rows rows_of(const View& v) { return {v.as<float>(), v.ld}; }

__global__ void gumbel_softmax_rows(Rows alphas, Rows noise, const float* temperature, Rows to, int64_t rows,
                                    int64_t n, bool hard) {
  wait_for_earlier();
  const int64_t i = Lanes::row();
  if (i >= rows) return;
  const float *a = alphas.row(i), *z = noise.row(i);
  float* y = to.row(i);
  if (hard) {  // every thread looks for itself: the first largest, as on the CPU
    int64_t best = 0;
    for (int64_t k = 1; k < n; ++k)
      if (a[k] + z[k] > a[best] + z[best]) best = k;
    for (int64_t k = Lanes::rank(); k < n; k += Lanes::kSize) y[k] = k == best ? 1.0f : 0.0f;
    return;
  }
  const float t = *temperature;
  const ExpSum e = exp_sum<Lanes>(n, [&](int64_t k) { return (a[k] + z[k]) / t; });
  const auto sum = static_cast<float>(e.sum);
  for (int64_t k = Lanes::rank(); k < n; k += Lanes::kSize) y[k] = expf((a[k] + z[k]) / t - e.top) / sum;
}

__global__ void gumbel_softmax_grad_rows(Rows upstream, Rows alphas, Rows noise, const float* temperature, Rows to,
                                         int64_t rows, int64_t n, bool add) {
  wait_for_earlier();
  const int64_t i = Lanes::row();
  if (i >= rows) return;
  const float *dy = upstream.row(i), *a = alphas.row(i), *z = noise.row(i);
  float* dx = to.row(i);
  const float t = *temperature;
  const ExpSum e = exp_sum<Lanes>(n, [&](int64_t k) { return (a[k] + z[k]) / t; });
  const auto sum = static_cast<float>(e.sum);
  double product = 0;
  for (int64_t k = Lanes::rank(); k < n; k += Lanes::kSize)
    product += static_cast<double>(dy[k]) * static_cast<double>(expf((a[k] + z[k]) / t - e.top));
  const auto mean = static_cast<float>(Lanes::sum(product) / e.sum);
  for (int64_t k = Lanes::rank(); k < n; k += Lanes::kSize) {
    const float p = expf((a[k] + z[k]) / t - e.top) / sum, d = p * (dy[k] - mean) / t;
    dx[k] = add ? dx[k] + d : d;
  }
}

void run(const Call& call) {
  const int64_t rows = call.in[0].shape[0], n = call.in[0].last();
  launch_dependent(*call.exec, "gumbel_softmax_rows", gumbel_softmax_rows,
                   grid_for(rows, Lanes::kPerBlock, INT32_MAX), dim3(kGroupBlock), 0, rows_of(call.in[0]),
                   rows_of(call.in[1]), static_cast<const float*>(call.in[2].as<float>()), rows_of(call.out[0]),
                   rows, n, call.attr<GumbelSoftmaxAttrs>().hard);
}

void run_grad(const Call& call) {
  const int64_t rows = call.in[1].shape[0], n = call.in[1].last();
  launch_dependent(*call.exec, "gumbel_softmax_grad_rows", gumbel_softmax_grad_rows,
                   grid_for(rows, Lanes::kPerBlock, INT32_MAX), dim3(kGroupBlock), 0, rows_of(call.in[0]),
                   rows_of(call.in[1]), rows_of(call.in[2]), static_cast<const float*>(call.in[3].as<float>()),
                   rows_of(call.out[0]), rows, n, call.out[0].write == Write::kAdd);
}

constexpr Impl kGumbelSoftmax[] = {{"rows", all_float32, run}};
constexpr Impl kGumbelSoftmaxGrad[] = {{"rows", all_float32, run_grad}};
}  // namespace

std::span<const Impl> gumbel_softmax_cuda() { return kGumbelSoftmax; }
std::span<const Impl> gumbel_softmax_grad_cuda() { return kGumbelSoftmaxGrad; }
}  // namespace mixop::kernels
