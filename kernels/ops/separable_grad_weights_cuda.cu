// dw_dw and dw_pw of units from one pass over their output pixels: dz on load, dY = dz w_pw^T, and then, as the
// window slides over t(x) in shared memory, y again and dw_dw at the same time; at last dw_pw = y^T dz. Without a
// depthwise half y is t(x), and there is no dY.
//   traffic     reads dy, z and x once a 16 channels of x (the halo of x comes from the L2 cache), writes next to
//   nothing;
//               the composite reads 8 T and writes 1 T
// One launch serves units of all kernels, strides and extents. Blocks keep their sums over many tiles in registers,
// a partial each, which the blocks that come last add up.
#include <algorithm>

#include "kernels/ops/separable_grad_merge.cuh"
#include "kernels/ops/separable_grad_weights_products.cuh"

namespace mixop::kernels {
namespace {

template <class Tile, class Products, bool kTf32, class S>
__device__ __forceinline__ void weights_of_unit(S shared, const SeparableGradArgs& u, const SeparableGradWork& work,
                                                unsigned* tickets) {
  constexpr int kKernel = Tile::kKernel, kTaps = kKernel > 1 ? kKernel * kKernel : 0;
  const WeightLayout at(Tile::kFloats, u.k);
  for (int k = static_cast<int>(threadIdx.x); k < u.k; k += kThreads) {
    const NormGradient dz(u, k);
    shared[at.factors + k] = dz.dy_factor;
    shared[at.factors + u.k + k] = dz.mean;
    shared[at.factors + 2 * u.k + k] = dz.z_factor;
    shared[at.factors + 3 * u.k + k] = dz.constant;
  }
  // Registers are short: what follows from the tile or the channel is computed where it is needed.
  const int groups = (u.channels + kGroup - 1) / kGroup, index = static_cast<int>(blockIdx.x) - work.first_block;
  const int channel = index % groups * kGroup;
  int tile = index / groups;
  float2 taps[kKernel][kKernel];
#pragma unroll
  for (auto& row : taps)
#pragma unroll
    for (float2& v : row) v = make_float2(0, 0);
  Products products;

  for (; tile < static_cast<int>(separable_grad_weight_tiles_of(u)); tile += work.blocks) {
    const int across = (u.out_width + kSide - 1) / kSide, down = (u.out_height + kSide - 1) / kSide;
    const int rest = tile % (across * down);
    const WeightPlace place{tile / (across * down), rest / across * kSide, rest % across * kSide, channel};
    __syncthreads();  // the factors are there, the tile before this one has been read
    if constexpr (kTaps > 0) stage_input<Tile>(shared, u, place);
    else stage_points(shared, u, place, at);
    stage_norm_gradient(shared, u, place, at);
    __syncthreads();
    if constexpr (kTaps > 0) {
      stage_back<kTf32>(shared, u, channel, at);
      __syncthreads();
      const int c = channel + static_cast<int>(threadIdx.x) % kPairs * 2;
      if (c < u.channels) slide<Tile>(shared, u, c, at, taps);
      __syncthreads();
    }
    products.add(shared, at, u.k);
  }

  __syncthreads();
  const int size = separable_grad_weight_partial(u), block = tile % work.blocks, group = channel / kGroup;
  float* const partial = work.partial + int64_t{group} * work.blocks * size;
  float* const to = partial + int64_t{block} * size;
  if constexpr (kTaps > 0) write_taps<kTaps>(shared, taps[0], to);
  write_products<Products>(shared, products, u.k, to + kTaps * kGroup);
  unsigned* const first = tickets + work.ticket + group * static_cast<int>(merge_tickets(work.blocks));
  merge_partials(partial, size, block, work.blocks, first, [&](int e, double v) {
    const int i = e - kTaps * kGroup, c = channel + (i < 0 ? e % kGroup : i / u.k);
    if (c >= u.channels) return;
    if (i < 0) u.dw_dw[e / kGroup * u.channels + c] = static_cast<float>(v);
    else u.dw_pw[int64_t{c} * u.k + i % u.k] = static_cast<float>(v);
  });
}

/// The weight gradients of a unit that is not active: its first block of each 16 channels writes them.
__device__ __forceinline__ void no_weights_of_unit(const SeparableGradArgs& u, const SeparableGradWork& work) {
  const int groups = (u.channels + kGroup - 1) / kGroup, block = static_cast<int>(blockIdx.x) - work.first_block;
  if (block >= groups) return;
  const int channel = block * kGroup, channels = min(kGroup, u.channels - channel);
  for (int e = static_cast<int>(threadIdx.x); e < u.taps() * channels; e += kThreads)
    u.dw_dw[e / channels * u.channels + channel + e % channels] = 0;
  for (int e = static_cast<int>(threadIdx.x); e < channels * u.k; e += kThreads)
    u.dw_pw[int64_t{channel} * u.k + e] = 0;
}

template <bool kTf32>
__global__ void __launch_bounds__(kThreads, 3) separable_grad_weight_tiles(const SeparableGradWeights weights) {
  cuda::wait_for_earlier();
  MIXOP_DYNAMIC_SHARED(float, shared);
  using Products = std::conditional_t<kTf32, MmaProducts, FmaProducts>;
  const int i = entry_of_block(weights.work, weights.units);
  const SeparableGradArgs& u = weights.unit[i];
  if (!u.is_active()) return no_weights_of_unit(u, weights.work[i]);
  with_input_tile(u, [&]<class Tile>() {
    weights_of_unit<Tile, Products, kTf32>(shared, u, weights.work[i], weights.tickets);
  });
}

}  // namespace

int separable_grad_weight_floats(const SeparableGradArgs& u) {
  int floats = 0;
  with_input_tile(u, [&]<class Tile>() { floats = WeightLayout(Tile::kFloats, u.k).floats; });
  return std::max({floats, kWarps * u.taps() * kGroup, kThreads * kGroup});
}

void separable_grad_weights(const Exec& exec, const SeparableGradWeights& weights) {
  int floats = 0;
  for (int i = 0; i < weights.units; ++i) floats = std::max(floats, separable_grad_weight_floats(weights.unit[i]));
  cuda::launch_dependent(exec, "separable_grad_weight_tiles",
                         exec.tf32 ? separable_grad_weight_tiles<true> : separable_grad_weight_tiles<false>,
                         dim3(static_cast<unsigned>(weights.blocks)), dim3(kThreads),
                         sizeof(float) * static_cast<size_t>(floats), weights);
}

}  // namespace mixop::kernels
