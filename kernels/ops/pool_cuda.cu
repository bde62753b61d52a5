// Pooling on CUDA, but for the gradient of max_pool. 3x3 windows: a thread owns a strip of pixels below each other
// and combines each row of cells once for all of its windows. Others: a thread owns a pixel.
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// y = max or mean of the valid cells of each window: a thread owns a pack of channels of one pixel of y.
template <bool kMax, int kWidth>
__global__ void __launch_bounds__(kPoolThreads)
    pool_plain(PoolShape s, const float* x, int ldx, float* y, int ldy) {
  wait_for_earlier();
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
    pool_3x3(PoolShape shape, const float* x, int ldx, float* y, int ldy) {
  wait_for_earlier();
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

/// y = v at the maximum of each window of x: a thread owns a pack of channels of one pixel of y. Only second
/// derivatives need it.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads)
    max_pool_take(PoolShape s, const float* v, int ldv, const float* x, int ldx, float* y, int ldy) {
  const int packs = s.channels / kWidth, pixels = s.v.outputs * s.h.outputs, cells = s.v.size * s.h.size;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yo = pixel / s.h.outputs, xo = pixel % s.h.outputs;
  if (pixel >= pixels) return;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    int taps[kWidth];
    find_maximum<1>(s, image_of(x, n, cells, ldx) + c, ldx, yo, xo, taps);
    auto taken = filled<kWidth>(0);
    for (int j = 0; j < kWidth; ++j) {
      const int yi = s.v.begin(yo) + taps[j] / s.h.kernel * s.v.dilation;
      const int xi = s.h.begin(xo) + taps[j] % s.h.kernel * s.h.dilation;
      taken[j] = image_of(v, n, cells, ldv)[(yi * s.h.size + xi) * ldv + c + j];
    }
    store_pack(image_of(y, n, pixels, ldy) + pixel * ldy + c, taken);
  }
}

/// dx (+)= sum of dy / divisor over the windows that cover a pixel: a thread owns a pack of channels of one
/// pixel of x.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads, 8)
    avg_pool_grad_plain(PoolShape s, const float* __restrict__ dy, int lddy, bool add, float* __restrict__ dx,
                        int lddx) {
  const int packs = s.channels / kWidth, pixels = s.v.size * s.h.size;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yi = pixel / s.h.size, xi = pixel % s.h.size;
  if (pixel >= pixels) return;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* arriving = image_of(dy, n, s.v.outputs * s.h.outputs, lddy) + c;
    auto total = filled<kWidth>(0);
    for (int yo = s.v.first_window(yi); yo <= s.v.last_window(yi); ++yo)
      for (int xo = s.h.first_window(xi); xo <= s.h.last_window(xi); ++xo) {
        const auto g = load_pack<kWidth>(arriving + (yo * s.h.outputs + xo) * lddy);
        add_scaled(total, g, __frcp_rn(static_cast<float>(s.v.divisor(yo) * s.h.divisor(xo))));
      }
    write_pack(image_of(dx, n, pixels, lddx) + pixel * lddx + c, total, add);
  }
}

/// The same for 3x3 windows: a thread owns 4 channels of kStrip pixels of x below each other, and combines each row
/// of windows once for the pixels that share it.
template <int kStride>
__global__ void __launch_bounds__(kPoolThreads)
    avg_pool_grad_3x3(PoolShape shape, const float* __restrict__ dy, int lddy, bool add, float* __restrict__ dx,
                      int lddx) {
  constexpr int kRows = kStride == 1 ? kStrip + 2 : kStrip / 2 + 1, kColumns = kStride == 1 ? 3 : 2;
  const PoolShape s = as_3x3<kStride>(shape);
  const int packs = s.channels / 4, columns = s.h.size * packs;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int first = item / columns * kStrip, xi = item % columns / packs, c = item % packs * 4;
  if (first >= s.v.size) return;
  const int yo = (first + s.v.pad - 3 + kStride) / kStride;  // may be outside: what a row covers is then a constant
  const int xo = s.h.first_window(xi), last = s.h.last_window(xi);
  float factors[kColumns];
#pragma unroll
  for (int k = 0; k < kColumns; ++k) factors[k] = 1.0f / static_cast<float>(s.h.divisor(min(xo + k, last)));
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* arriving = image_of(dy, n, s.v.outputs * s.h.outputs, lddy) + c;
    Pack<4> total[kStrip];
#pragma unroll
    for (int o = 0; o < kStrip; ++o) total[o] = filled<4>(0);
#pragma unroll
    for (int i = 0; i < kRows; ++i) {
      const int near = s.v.nearest_window(yo + i), covered = s.v.begin(yo + i) - first;
      Pack<4> row = filled<4>(0);
#pragma unroll
      for (int k = 0; k < kColumns; ++k) {
        const auto g = load_pack<4>(arriving + (near * s.h.outputs + min(xo + k, last)) * lddy);
        add_scaled(row, only_if(near == yo + i && xo + k <= last, g), factors[k]);
      }
      const float factor = 1.0f / static_cast<float>(s.v.divisor(near));
#pragma unroll
      for (int o = 0; o < kStrip; ++o)
        if (o >= covered && o < covered + 3) add_scaled(total[o], row, factor);
    }
    float* out = image_of(dx, n, s.v.size * s.h.size, lddx) + c;
#pragma unroll
    for (int o = 0; o < kStrip; ++o) {
      if (first + o >= s.v.size) break;
      write_pack(out + ((first + o) * s.h.size + xi) * lddx, total[o], add);
    }
  }
}

template <bool kMax>
void forward_plain(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  const PoolShape s(call.attr<PoolAttrs>(), x.shape);
  with_width(aligned4(x) && aligned4(y), [&]<int kWidth>() {
    const int items = s.v.outputs * s.h.outputs * (s.channels / kWidth);
    launch_dependent(*call.exec, "pool_plain", pool_plain<kMax, kWidth>, image_grid(items, s.images), kPoolThreads,
                     0, s, x.as<float>(), image_ld(x), y.as<float>(), image_ld(y));
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
    launch_dependent(*call.exec, "pool_3x3", pool_3x3<kMax, kStride>, image_grid(items, s.images), kPoolThreads, 0,
                     s, x.as<float>(), image_ld(x), y.as<float>(), image_ld(y));
  });
}

void take(const Call& call) {
  const View &v = call.in[0], &x = call.in[1], &y = call.out[0];
  const PoolShape s(call.attr<PoolAttrs>(), x.shape);
  with_width(aligned4(x) && aligned4(y), [&]<int kWidth>() {
    const int items = s.v.outputs * s.h.outputs * (s.channels / kWidth);
    launch(*call.exec, "max_pool_take", max_pool_take<kWidth>, image_grid(items, s.images), kPoolThreads, 0, s,
           v.as<float>(), image_ld(v), x.as<float>(), image_ld(x), y.as<float>(), image_ld(y));
  });
}

void avg_grad(const Call& call, bool strips) {
  const auto& a = call.attr<AvgPoolGradAttrs>();
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const PoolShape s(a.pool, a.x);
  const bool add = dx.write == Write::kAdd, aligned = aligned4(dy) && aligned4(dx);
  if (strips && aligned)
    return with_stride(a.pool, [&]<int kStride>() {
      const int items = ceil_div(s.v.size, kStrip) * s.h.size * (s.channels / 4);
      launch(*call.exec, "avg_pool_grad_3x3", avg_pool_grad_3x3<kStride>, image_grid(items, s.images), kPoolThreads,
             0, s, dy.as<float>(), image_ld(dy), add, dx.as<float>(), image_ld(dx));
    });
  with_width(aligned, [&]<int kWidth>() {
    const int items = s.v.size * s.h.size * (s.channels / kWidth);
    launch(*call.exec, "avg_pool_grad_plain", avg_pool_grad_plain<kWidth>, image_grid(items, s.images),
           kPoolThreads, 0, s, dy.as<float>(), image_ld(dy), add, dx.as<float>(), image_ld(dx));
  });
}
void avg_grad_plain(const Call& call) { avg_grad(call, false); }
void avg_grad_3x3(const Call& call) { avg_grad(call, true); }

bool accepts_forward(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<PoolAttrs>());
}
bool accepts_avg_grad(const Call& call) {
  return all_float32(call) && call.in[0].last() % 4 == 0 && is_3x3(call.attr<AvgPoolGradAttrs>().pool);
}

constexpr Impl kMaxPool[] = {{"3x3", accepts_forward, forward_3x3<true>},
                             {"plain", all_float32, forward_plain<true>}};
constexpr Impl kMaxPoolTake[] = {{"plain", all_float32, take}};
constexpr Impl kAvgPool[] = {{"3x3", accepts_forward, forward_3x3<false>},
                             {"plain", all_float32, forward_plain<false>}};
constexpr Impl kAvgPoolGrad[] = {{"3x3", accepts_avg_grad, avg_grad_3x3}, {"plain", all_float32, avg_grad_plain}};
}  // namespace

std::span<const Impl> max_pool_cuda() { return kMaxPool; }
std::span<const Impl> max_pool_take_cuda() { return kMaxPoolTake; }
std::span<const Impl> avg_pool_cuda() { return kAvgPool; }
std::span<const Impl> avg_pool_grad_cuda() { return kAvgPoolGrad; }
}  // namespace mixop::kernels
