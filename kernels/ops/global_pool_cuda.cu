// Global average pooling on CUDA: a thread keeps its channels while it walks over the pixels of an image.
#include "kernels/ops/global_pool.h"

#include <algorithm>

#include "kernels/core/cuda/columns.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

constexpr int kTile = 8;                // pixels that a thread has under way
constexpr int64_t kMostBlocks = 1024;   // of an image
constexpr int64_t kMostImages = 65535;  // blocks along z; kernels walk over further images

/// y = mean over the pixels of an image: a block owns an image and some channels; a thread adds kTile pixels in
/// float32 and these sums in double.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    global_avg_pool(Columns k, int images, Stored x, int64_t ldx, float* y, int64_t ldy) {
  wait_for_earlier();
  const ColumnPlace<kWidth> at(k);
  for (int n = static_cast<int>(blockIdx.z); n < images; n += static_cast<int>(gridDim.z)) {
    const Stored image = x.from(n * k.rows * ldx);
    double sums[1][kWidth] = {};
    for (int64_t row = at.row; row < at.end; row += kTile * at.step) {
      Pack<kWidth> v[kTile];
      load_tile(at, row, image, ldx, v);
#pragma unroll
      for (int j = 0; j < kWidth; ++j) {
        float sum = 0;
#pragma unroll
        for (int i = 0; i < kTile; ++i) sum += v[i][j];
        sums[0][j] += sum;
      }
    }
    reduce_columns(k, sums, [&](int channel, int, double sum) {
      y[n * ldy + channel] = static_cast<float>(sum / static_cast<double>(k.rows));
    });
  }
}

/// dx (+)= dy / pixels: a thread owns some pixels of its channels.
template <int kWidth>
__global__ void __launch_bounds__(kColumnThreads)
    global_avg_pool_grad(Columns k, int images, const float* dy, int64_t lddy, bool add, Stored dx, int64_t lddx) {
  wait_for_earlier();
  const ColumnPlace<kWidth> at(k);
  if (at.row >= at.end) return;
  for (int n = static_cast<int>(blockIdx.z); n < images; n += static_cast<int>(gridDim.z)) {
    Pack<kWidth> g = load_pack<kWidth>(dy + n * lddy + at.c);
    for (int j = 0; j < kWidth; ++j) g[j] /= static_cast<float>(k.rows);
    const int64_t image = n * k.rows * lddx + at.c;
#pragma unroll 4
    for (int64_t row = at.row; row < at.end; row += at.step) write_pack(dx, image + row * lddx, g, add);
  }
}

/// How blocks cover each image of x.
Columns image_columns(const Shape& x, int width, int64_t most_blocks) {
  Columns k(x[1] * x[2], x.last(), width, kTile, most_blocks);
  k.grid.z = static_cast<unsigned>(std::min(x[0], kMostImages));
  return k;
}

void pool(const Call& call) {
  const View &x = call.in[0], &y = call.out[0];
  with_width(in_fours(x), [&]<int kWidth>() {
    const Columns k = image_columns(x.shape, kWidth, 1);
    launch_dependent(*call.exec, "global_avg_pool", global_avg_pool<kWidth>, k.grid, kColumnThreads, 0, k,
                     x.shape[0], Stored(x), x.ld, y.as<float>(), y.ld);
  });
}

void grad(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  with_width(in_fours(dy) && in_fours(dx), [&]<int kWidth>() {
    const Columns k = image_columns(dx.shape, kWidth, kMostBlocks);
    launch_dependent(*call.exec, "global_avg_pool_grad", global_avg_pool_grad<kWidth>, k.grid, kColumnThreads, 0, k,
                     dx.shape[0], dy.as<float>(), dy.ld, dx.write == Write::kAdd, Stored(dx), dx.ld);
  });
}

constexpr Impl kPool[] = {{"columns", all_float32_or_bf16, pool}};
constexpr Impl kGrad[] = {{"columns", all_float32_or_bf16, grad}};
}  // namespace

std::span<const Impl> global_avg_pool_cuda() { return kPool; }
std::span<const Impl> global_avg_pool_grad_cuda() { return kGrad; }
}  // namespace mixop::kernels
