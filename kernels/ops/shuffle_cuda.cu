#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/shuffle.h"

namespace mixop::kernels {
namespace {

constexpr int kBlock = 256;

struct Shuffle {
  const float* x;
  float* y;
  int64_t ldx, ldy, rows;
  int channels, groups, width;  ///< channels = groups * width
};

// y[j groups + i] (+)= x[i width + j]. A thread owns kWidth neighbouring channels of y at a time.
template <int kWidth, bool kAdd>
__global__ void shuffle_rows(Shuffle m) {
  cuda::wait_for_earlier();
  const int columns = m.channels / kWidth;
  const int64_t items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t item = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; item < items; item += threads) {
    const int64_t r = item / columns;
    const int c = static_cast<int>(item - r * columns) * kWidth;
    const float* row = m.x + r * m.ldx;
    float* to = m.y + r * m.ldy + c;
    const auto source = [&](int channel) { return row[channel % m.groups * m.width + channel / m.groups]; };
    if constexpr (kWidth == 4) {
      const float4 v = make_float4(source(c), source(c + 1), source(c + 2), source(c + 3));
      cuda::store4(to, kAdd ? cuda::add4(cuda::load4(to), v) : v);
    } else {
      *to = kAdd ? *to + source(c) : source(c);
    }
  }
}

template <int kWidth>
void launch_shuffle(const Call& call, const Shuffle& m) {
  const auto kernel = call.out[0].write == Write::kAdd ? shuffle_rows<kWidth, true> : shuffle_rows<kWidth, false>;
  cuda::launch_dependent(*call.exec, "shuffle_rows", kernel, cuda::grid_for(m.rows * m.channels / kWidth, kBlock),
                         kBlock, 0, m);
}

void run_shuffle(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const int channels = static_cast<int>(x.last()), groups = static_cast<int>(call.attr<ShuffleAttrs>().groups);
  const Shuffle m{x.as<float>(), y.as<float>(), x.ld, y.ld, x.rows(), channels, groups, channels / groups};
  if (cuda::aligned4(m.y, m.ldy, channels)) launch_shuffle<4>(call, m);
  else launch_shuffle<1>(call, m);
}

constexpr Impl kShuffle[] = {{"rows", all_float32, run_shuffle}};
}  // namespace

std::span<const Impl> channel_shuffle_cuda() { return kShuffle; }
}  // namespace mixop::kernels
