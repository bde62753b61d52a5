// Pooling on CUDA, but for the gradient of max_pool. 3x3 windows: a thread owns a strip of pixels below each other
// and combines each row of cells once for all of its windows. Others: a thread owns a pixel.
#include "kernels/ops/pool_avg_grad.cuh"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// y = max or mean of the valid cells of each window: a thread owns a pack of channels of one pixel of y.
template <bool kMax, int kWidth>
__global__ void __launch_bounds__(kPoolThreads)
    pool_plain(PoolShape s, const float* __restrict__ x, int ldx, float* __restrict__ y, int ldy) {
  const int packs = s.channels / kWidth, pixels = s.v.outputs * s.h.outputs;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yo = pixel / s.h.outputs, xo = pixel % s.h.outputs;
  if (pixel >= pixels) return;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* image = image_of(x, n, s.v.size * s.h.size, ldx) + c;
    const auto total = pool_window<kMax, kWidth>(s, image, ldx, yo, xo);
    store_pack(image_of(y, n, pixels, ldy) + pixel * ldy + c, total);
  }
}

/// The same for 3x3 windows: a thread owns 4 channels of kStrip pixels of y below each other.
template <bool kMax, int kStride>
__global__ void __launch_bounds__(kPoolThreads)
    pool_3x3(PoolShape shape, const float* __restrict__ x, int ldx, float* __restrict__ y, int ldy) {
  const PoolShape s = as_3x3<kStride>(shape);
  const int packs = s.channels / 4, columns = s.h.outputs * packs;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int first = item / columns * kStrip, xo = item % columns / packs, c = item % packs * 4;
  if (first >= s.v.outputs) return;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* image = image_of(x, n, s.v.size * s.h.size, ldx) + c;
    Pack<4> total[kStrip];
    pool_strip<kMax, kStride>(s, image, ldx, first, xo, total);
    float* out = image_of(y, n, s.v.outputs * s.h.outputs, ldy) + c;
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      if (first + o >= s.v.outputs) break;
      store_pack(out + ((first + o) * s.h.outputs + xo) * ldy, total[o]);
    }
  }
}

template <bool kMax>
void forward_plain(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const PoolShape s(call.attr<PoolAttrs>(), x.shape);
  with_width(aligned4(x) && aligned4(y), [&]<int kWidth>() {
    const int items = s.v.outputs * s.h.outputs * (s.channels / kWidth);
    launch(*call.exec, "pool_plain", pool_plain<kMax, kWidth>, image_grid(items, s.images), kPoolThreads, 0, s,
           x.as<float>(), image_ld(x), y.as<float>(), image_ld(y));
  });
}

template <bool kMax>
void forward_3x3(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  if (!aligned4(x) || !aligned4(y)) return forward_plain<kMax>(call);
  const auto& a = call.attr<PoolAttrs>();
  const PoolShape s(a, x.shape);
  const int items = ceil_div(s.v.outputs, kStrip) * s.h.outputs * (s.channels / 4);
  with_stride(a, [&]<int kStride>() {
    launch(*call.exec, "pool_3x3", pool_3x3<kMax, kStride>, image_grid(items, s.images), kPoolThreads, 0, s,
           x.as<float>(), image_ld(x), y.as<float>(), image_ld(y));
  });
}

void avg_grad_plain(const Call& call) {
  const auto& a = call.attr<AvgPoolGradAttrs>();
  launch_avg_grad(call, a.pool, a.x, PlainGradient(call.in[0]), aligned4(call.in[0]), false);
}
void avg_grad_3x3(const Call& call) {
  const auto& a = call.attr<AvgPoolGradAttrs>();
  launch_avg_grad(call, a.pool, a.x, PlainGradient(call.in[0]), aligned4(call.in[0]), true);
}

bool accepts_forward(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<PoolAttrs>());
}
bool accepts_avg_grad(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<AvgPoolGradAttrs>().pool);
}

constexpr Impl kMaxPool[] = {{"3x3", accepts_forward, forward_3x3<true>},
                             {"plain", all_float32, forward_plain<true>}};
constexpr Impl kAvgPool[] = {{"3x3", accepts_forward, forward_3x3<false>},
                             {"plain", all_float32, forward_plain<false>}};
constexpr Impl kAvgPoolGrad[] = {{"3x3", accepts_avg_grad, avg_grad_3x3}, {"plain", all_float32, avg_grad_plain}};
}  // namespace

std::span<const Impl> max_pool_cuda() { return kMaxPool; }
std::span<const Impl> avg_pool_cuda() { return kAvgPool; }
std::span<const Impl> avg_pool_grad_cuda() { return kAvgPoolGrad; }
}  // namespace mixop::kernels
