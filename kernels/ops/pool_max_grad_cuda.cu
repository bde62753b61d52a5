// The gradient of max_pool on CUDA, as a gather: a pixel takes dy of the windows whose maximum it is. Nothing is
// saved by the forward pass; which tap of a window is its maximum is found again from x.
#include "kernels/core/cuda/shared.cuh"
#include "kernels/ops/pool_windows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kTileHeight = 8, kTileWidth = 16, kTilePacks = 4;  // pixels, pixels, packs of 4 channels
constexpr int kTileThreads = 256;

/// dx (+)= sum of dy over the windows whose maximum a pixel is: a thread owns a pack of channels of one
/// pixel of x.
template <int kWidth>
__global__ void __launch_bounds__(kPoolThreads, 8)
    max_pool_grad_plain(PoolShape s, const float* __restrict__ dy, int lddy, const float* __restrict__ x, int ldx,
                        bool add, float* __restrict__ dx, int lddx) {
  const int packs = s.channels / kWidth, pixels = s.v.size * s.h.size;
  const int item = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int pixel = item / packs, c = item % packs * kWidth, yi = pixel / s.h.size, xi = pixel % s.h.size;
  if (pixel >= pixels) return;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* image = image_of(x, n, pixels, ldx) + c;
    const float* arriving = image_of(dy, n, s.v.outputs * s.h.outputs, lddy) + c;
    auto total = filled<kWidth>(0);
    for (int yo = s.v.first_window(yi); yo <= s.v.last_window(yi); ++yo)
      for (int xo = s.h.first_window(xi); xo <= s.h.last_window(xi); ++xo) {
        const int ky = s.v.tap(yi, yo), kx = s.h.tap(xi, xo);
        if (ky < 0 || kx < 0) continue;
        int taps[kWidth];
        find_maximum<1>(s, image, ldx, yo, xo, taps);
        const auto g = load_pack<kWidth>(arriving + (yo * s.h.outputs + xo) * lddy);
        for (int j = 0; j < kWidth; ++j) total[j] += taps[j] == ky * s.h.kernel + kx ? g[j] : 0.0f;
      }
    write_pack(image_of(dx, n, pixels, lddx) + pixel * lddx + c, total, add);
  }
}

/// The same for 3x3 windows: a block owns a tile of pixels of x and 16 channels. It first finds the maximum of each
/// window that touches the tile, one byte a channel, and dy, into shared memory; then every pixel gathers.
template <int kStride>
__global__ void __launch_bounds__(kTileThreads)
    max_pool_grad_3x3(PoolShape shape, int height, int width, const float* __restrict__ dy, int lddy,
                      const float* __restrict__ x, int ldx, bool add, float* __restrict__ dx, int lddx) {
  constexpr int kCover = kStride == 1 ? 3 : 2;  // windows over a pixel, along an axis
  constexpr int kMostWindows = ((kTileHeight - 1) / kStride + 3) * ((kTileWidth - 1) / kStride + 3);
  constexpr int kMostMaxima = kMostWindows * kTilePacks;
  MIXOP_SHARED(int, maxima, kMostMaxima);
  MIXOP_SHARED(float, grads, kMostMaxima * 4);
  const PoolShape s = as_3x3<kStride>(shape);
  const int across = ceil_div(s.h.size, width), groups = ceil_div(s.channels, kTilePacks * 4);
  const int group = static_cast<int>(blockIdx.x) % groups, tile = static_cast<int>(blockIdx.x) / groups;
  const int y0 = tile / across * height, y1 = min(y0 + height, s.v.size);
  const int x0 = tile % across * width, x1 = min(x0 + width, s.h.size);
  const int first_y = s.v.first_window(y0), rows = s.v.last_window(y1 - 1) - first_y + 1;
  const int first_x = s.h.first_window(x0), columns = s.h.last_window(x1 - 1) - first_x + 1;
  const int thread = static_cast<int>(threadIdx.x);
  const int pack = thread % kTilePacks, c = (group * kTilePacks + pack) * 4;
  const int begin = thread / kTilePacks, step = kTileThreads / kTilePacks;
  const int windows = c < s.channels ? rows * columns : 0, pixels = c < s.channels ? (y1 - y0) * (x1 - x0) : 0;
  for (int n = static_cast<int>(blockIdx.y); n < s.images; n += static_cast<int>(gridDim.y)) {
    const float* image = image_of(x, n, s.v.size * s.h.size, ldx) + c;
    const float* arriving = image_of(dy, n, s.v.outputs * s.h.outputs, lddy) + c;
    for (int i = begin; i < windows; i += step) {
      const int yo = first_y + i / columns, xo = first_x + i % columns;
      int taps[4];
      find_maximum<3>(s, image, ldx, yo, xo, taps);
      maxima[i * kTilePacks + pack] = taps[0] | taps[1] << 8 | taps[2] << 16 | taps[3] << 24;
      const auto g = load_pack<4>(arriving + (yo * s.h.outputs + xo) * lddy);
      store4(grads, (i * kTilePacks + pack) * 4, make_float4(g[0], g[1], g[2], g[3]));
    }
    __syncthreads();
    for (int i = begin; i < pixels; i += step) {
      const int yi = y0 + i / (x1 - x0), xi = x0 + i % (x1 - x0);
      Pack<4> total = filled<4>(0);
      const int last_y = s.v.last_window(yi), last_x = s.h.last_window(xi);
#pragma unroll
      for (int a = 0; a < kCover; ++a)
#pragma unroll
        for (int b = 0; b < kCover; ++b) {
          const int yo = s.v.first_window(yi) + a, near_y = min(yo, last_y);
          const int xo = s.h.first_window(xi) + b, near_x = min(xo, last_x);
          const int window = ((near_y - first_y) * columns + near_x - first_x) * kTilePacks + pack;
          const int taps = maxima[window];
          const bool covered = yo == near_y && xo == near_x;
          const int mine = covered ? (yi - s.v.begin(yo)) * 3 + xi - s.h.begin(xo) : -1;
          const float4 v = load4(grads, window * 4);
          const Pack<4> g{{v.x, v.y, v.z, v.w}};
          for (int j = 0; j < 4; ++j) total[j] += (taps >> 8 * j & 255) == mine ? g[j] : 0.0f;
        }
      write_pack(image_of(dx, n, s.v.size * s.h.size, lddx) + (yi * s.h.size + xi) * lddx + c, total, add);
    }
    __syncthreads();
  }
}

void grad(const Call& call, bool tiles) {
  const auto& pool = call.attr<PoolAttrs>();
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const PoolShape s(pool, x.shape);
  const bool add = dx.write == Write::kAdd, aligned = aligned4(dy) && aligned4(x) && aligned4(dx);
  if (tiles && aligned) {
    const int down = ceil_div(s.v.size, kTileHeight), across = ceil_div(s.h.size, kTileWidth);
    const int height = ceil_div(s.v.size, down), width = ceil_div(s.h.size, across);  // nearly equal tiles
    const int blocks =
        ceil_div(s.v.size, height) * ceil_div(s.h.size, width) * ceil_div(s.channels, kTilePacks * 4);
    return with_stride(pool, [&]<int kStride>() {
      launch(*call.exec, "max_pool_grad_3x3", max_pool_grad_3x3<kStride>, image_grid(blocks, s.images, 1),
             kTileThreads, 0, s, height, width, dy.as<float>(), image_ld(dy), x.as<float>(), image_ld(x), add,
             dx.as<float>(), image_ld(dx));
    });
  }
  with_width(aligned, [&]<int kWidth>() {
    const int items = s.v.size * s.h.size * (s.channels / kWidth);
    launch(*call.exec, "max_pool_grad_plain", max_pool_grad_plain<kWidth>, image_grid(items, s.images),
           kPoolThreads, 0, s, dy.as<float>(), image_ld(dy), x.as<float>(), image_ld(x), add, dx.as<float>(),
           image_ld(dx));
  });
}
void plain(const Call& call) { grad(call, false); }
void tiled(const Call& call) { grad(call, true); }

bool accepts(const Call& call) {
  return all_float32(call) && call.in[1].last() % 4 == 0 && is_3x3(call.attr<PoolAttrs>());
}

constexpr Impl kMaxPoolGrad[] = {{"3x3", accepts, tiled}, {"plain", all_float32, plain}};
}  // namespace

std::span<const Impl> max_pool_grad_cuda() { return kMaxPoolGrad; }
}  // namespace mixop::kernels
