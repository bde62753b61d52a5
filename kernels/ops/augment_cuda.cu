#include "kernels/core/cuda/launch.cuh"
#include "kernels/ops/augment.h"

namespace mixop::kernels {
namespace {

constexpr int kBlock = 256;
constexpr int64_t kMostImages = 65535;  // of a grid's second axis

struct Images {
  const uint8_t* pixels;
  const int32_t* draws;
  const float* table;
  float* y;
  int64_t ld_pixels, ld_draws, ld_table, ldy, stored, batch;
  int height, width, channels;
};

// y(y,x,c) = table[c][pixels(index, y + dy, (flip ? W-1-x : x) + dx, c)], 0 where erased. A row of blocks owns an
// image at a time, a thread an element of it.
__global__ void __launch_bounds__(kBlock) augment_images(Images m) {
  cuda::wait_for_earlier();
  const int elements = m.height * m.width * m.channels;
  const int at = static_cast<int>(blockIdx.x) * kBlock + static_cast<int>(threadIdx.x);
  if (at >= elements) return;
  const int c = at % m.channels, x = at / m.channels % m.width, y = at / m.channels / m.width;
  for (int64_t i = blockIdx.y; i < m.batch; i += gridDim.y) {
    const int32_t* draw = m.draws + i * m.ld_draws;
    const int64_t asked = draw[kDrawIndex];
    const int64_t index = asked < 0 ? 0 : asked < m.stored ? asked : m.stored - 1;
    const int64_t from_y = int64_t{y} + draw[kDrawDy],
                  from_x = int64_t{draw[kDrawFlip] ? m.width - 1 - x : x} + draw[kDrawDx];
    const bool inside = from_y >= 0 && from_y < m.height && from_x >= 0 && from_x < m.width;
    const bool erased = y >= draw[kDrawY1] && y < draw[kDrawY2] && x >= draw[kDrawX1] && x < draw[kDrawX2];
    const int pixel = inside ? m.pixels[((index * m.height + from_y) * m.width + from_x) * m.ld_pixels + c] : 0;
    m.y[((i * m.height + y) * m.width + x) * m.ldy + c] = erased ? 0.0f : m.table[c * m.ld_table + pixel];
  }
}

void run_augment(const Call& call) {
  const View &pixels = call.in[0], &draws = call.in[1], &table = call.in[2];
  const Out& y = call.out[0];
  const Images m{.pixels = pixels.as<uint8_t>(),
                 .draws = draws.as<int32_t>(),
                 .table = table.as<float>(),
                 .y = y.as<float>(),
                 .ld_pixels = pixels.ld,
                 .ld_draws = draws.ld,
                 .ld_table = table.ld,
                 .ldy = y.ld,
                 .stored = pixels.shape[0],
                 .batch = y.shape[0],
                 .height = static_cast<int>(y.shape[1]),
                 .width = static_cast<int>(y.shape[2]),
                 .channels = static_cast<int>(y.shape[3])};
  const dim3 grid(static_cast<unsigned>(cuda::ceil_div(m.height * m.width * m.channels, kBlock)),
                  static_cast<unsigned>(m.batch < kMostImages ? m.batch : kMostImages));
  cuda::launch_dependent(*call.exec, "augment_images", augment_images, grid, kBlock, 0, m);
}

constexpr Impl kAugment[] = {{"elements", all_float32, run_augment}};
}  // namespace

std::span<const Impl> augment_cuda() { return kAugment; }
}  // namespace mixop::kernels
