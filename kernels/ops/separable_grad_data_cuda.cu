// dx of units that share an input, each dY computed on the way: dz on load, dY = dz w_pw^T into a tile in shared
// memory, dx += depthwise^T(dY) in registers. A block takes 16 x 16 pixels of one image of dx and 16 channels, or
// 8 x 8 and 32.
//   traffic     reads dy and z of each unit once (their halo comes from the L2 cache), x once, writes T;
//               the composite reads 6 T and writes 3 T a unit
// One launch serves groups of all strides and extents. Where groups are few their units are cut into parts, whose
// shares of dx the block that comes last of a tile adds up.
#include <algorithm>

#include "kernels/ops/separable_grad_data_tile.cuh"
#include "kernels/ops/separable_grad_merge.cuh"

namespace mixop::kernels {
namespace {

using LargeShape = DataShape<1, 16, 16>;
using SmallShape = DataShape<1, 8, 32>;
using StridedShape = DataShape<2, 8, 16>;

/// Calls f.template operator()<Shape>() with that of the unit's group.
template <class F>
__host__ __device__ __forceinline__ void with_data_shape(const SeparableGradArgs& u, F&& f) {
  if (u.stride == 2) f.template operator()<StridedShape>();
  else if (u.height > 8 || u.width > 8) f.template operator()<LargeShape>();
  else f.template operator()<SmallShape>();
}

/// Sums over the threads of a block that share a quad of channels, thread `quad` of each; then no others go on.
template <int kQuads, class S>
__device__ __forceinline__ float4 sum_of_quads(S shared, int at, float4 v) {
  const int thread = static_cast<int>(threadIdx.x), lane = thread % kWarp;
#pragma unroll
  for (int offset = kQuads; offset < kWarp; offset *= 2) {
    v.x += __shfl_xor_sync(0xFFFFFFFFu, v.x, offset), v.y += __shfl_xor_sync(0xFFFFFFFFu, v.y, offset);
    v.z += __shfl_xor_sync(0xFFFFFFFFu, v.z, offset), v.w += __shfl_xor_sync(0xFFFFFFFFu, v.w, offset);
  }
  if (lane < kQuads) cuda::store4(shared, at + (thread / kWarp * kQuads + lane) * 4, v);
  __syncthreads();
  for (int warp = 1; thread < kQuads && warp < kDataWarps; ++warp)
    v = cuda::add4(v, cuda::load4(shared, at + (warp * kQuads + lane) * 4));
  return v;
}

/// f(pixel, v) for each pixel of the thread's strip that exists, v what it has summed up there.
template <class Shape, class F>
__device__ __forceinline__ void for_strip(const SeparableGradArgs& g, const DataPlace& place, DataSums<Shape>& sum,
                                          F&& f) {
  constexpr int kStride = Shape::kStride;
  const DataStrip<Shape, 1> strip;
#pragma unroll
  for (int i = 0; i < Shape::kRows * kStride; ++i) {
    const int h = place.row + strip.row * kStride + i;
#pragma unroll
    for (int p = 0; p < Shape::kColumns * kStride; ++p) {
      const int w = place.column + strip.column * kStride + p;
      if (h < g.height && w < g.width)
        f((place.image * g.height + h) * g.width + w, sum[i / kStride][i % kStride][p]);
    }
  }
}

/// Whether any unit of the group is: else dx and its sums are 0, and nothing is read for them.
__device__ __forceinline__ bool any_active(const SeparableGradData& data, const SeparableGradGroup& group) {
  const int end = data.first[group.first_part + group.parts];
  int n = data.first[group.first_part];
  while (n < end && !data.unit[n].is_active()) ++n;
  return n < end;
}

template <class Shape, bool kTf32, class S>
__device__ __forceinline__ void data_of_group(S shared, const SeparableGradData& data,
                                              const SeparableGradGroup& group) {
  const int thread = static_cast<int>(threadIdx.x), index = static_cast<int>(blockIdx.x) - group.first_block;
  const int part = index % group.parts, job = index / group.parts;  // a job is a tile and its channels
  const SeparableGradArgs& g = data.unit[data.first[group.first_part]];
  const int groups = (g.channels + Shape::kGroup - 1) / Shape::kGroup, tile = job / groups;
  const int across = (g.width + Shape::kPixels - 1) / Shape::kPixels;
  const int down = (g.height + Shape::kPixels - 1) / Shape::kPixels, rest = tile % (across * down);
  const DataPlace place{tile / (across * down), rest / across * Shape::kPixels, rest % across * Shape::kPixels,
                        job % groups * Shape::kGroup};
  DataSums<Shape> sum;
#pragma unroll
  for (auto& row : sum)
#pragma unroll
    for (auto& phase : row)
#pragma unroll
      for (float4& v : phase) v = make_float4(0, 0, 0, 0);

  const bool any = any_active(data, group);
  if (!any && part > 0) return;
  const int end = data.first[group.first_part + part + 1];
  int n = data.first[group.first_part + part];
  if (data.unit[n].dilation == 2) {
    for (; n < end && data.unit[n].dilation == 2; ++n) {
      const SeparableGradArgs& u = data.unit[n];
      if (!u.is_active()) continue;
      with_data_tile<Shape, 2>(u,
                               [&]<class Tile>() { add_unit<Tile, kTf32>(shared, u, place, data.strips_at, sum); });
    }
    if constexpr (Shape::kStride == 1) undilate<Shape>(shared, sum);
  }
  for (; n < end; ++n) {
    const SeparableGradArgs& u = data.unit[n];
    if (!u.is_active()) continue;
    with_data_tile<Shape, 1>(u,
                             [&]<class Tile>() { add_unit<Tile, kTf32>(shared, u, place, data.strips_at, sum); });
  }

  const int c = place.channel + thread % Shape::kQuads * 4;
  const bool present = c < g.channels;
  if (group.parts > 1 && any) {
    const int64_t elements = g.rows() * g.channels;
    float* const share = group.shares + part * elements + c;
    if (present)
      for_strip<Shape>(g, place, sum,
                       [&](int64_t pixel, float4& v) { cuda::store4(share + pixel * g.channels, v); });
    if (!cuda::last_block(data.tickets + group.ticket + job, static_cast<unsigned>(group.parts))) return;
    if (present)
      for_strip<Shape>(g, place, sum, [&](int64_t pixel, float4& v) {
        const float* const from = group.shares + pixel * g.channels + c;
        v = cuda::load4(from);
        for (int p = 1; p < group.parts; ++p) v = cuda::add4(v, cuda::load4(from + p * elements));
      });
  }

  float4 s1 = make_float4(0, 0, 0, 0), s2 = s1;
  if (present) {
    const GradLoadQuad t(g.load, c);
    for_strip<Shape>(g, place, sum, [&](int64_t pixel, float4 v) {
      if (any && (t.relu || group.sums)) {
        const float4 x = g.x.load4(pixel * g.x_ld + c);
        v = t.masked(v, x);
        s1 = cuda::add4(s1, v);
        s2 = cuda::fma4(s2, v, t.centred(x));
      }
      const int64_t to = pixel * g.dx_ld + c;
      g.dx.store4(to, g.add ? cuda::add4(v, g.dx.load4(to)) : v);
    });
  }
  if (!group.sums) return;
  s1 = sum_of_quads<Shape::kQuads>(shared, 0, s1);
  s2 = sum_of_quads<Shape::kQuads>(shared, kDataWarps * Shape::kGroup, s2);
  constexpr int kSums = 2 * Shape::kGroup;
  float* const partial = group.sums + int64_t{place.channel / Shape::kGroup} * group.tiles * kSums;
  if (thread < Shape::kQuads) {
    cuda::store4(partial + int64_t{tile} * kSums + 4 * thread, s1);
    cuda::store4(partial + int64_t{tile} * kSums + Shape::kGroup + 4 * thread, s2);
  }
  unsigned* const tickets = data.tickets + group.sums_ticket +
                            place.channel / Shape::kGroup * static_cast<int>(merge_tickets(group.tiles));
  merge_partials(partial, kSums, tile, group.tiles, tickets, [&](int e, double v) {
    const int channel = place.channel + e % Shape::kGroup;
    if (channel >= g.channels) return;
    if (e < Shape::kGroup) g.dx_s1[channel] = static_cast<float>(v);
    else g.dx_s2[channel] = any ? static_cast<float>(v * g.load.rstd[channel]) : 0.0f;
  });
}

template <bool kTf32>
__global__ void __launch_bounds__(kDataThreads, 3) separable_grad_data_tiles(const SeparableGradData data) {
  cuda::wait_for_earlier();
  MIXOP_DYNAMIC_SHARED(float, shared);
  const SeparableGradGroup& group = data.group[entry_of_block(data.group, data.groups)];
  with_data_shape(data.unit[data.first[group.first_part]],
                  [&]<class Shape>() { data_of_group<Shape, kTf32>(shared, data, group); });
}

/// Floats of the unit's tile.
int tile_floats(const SeparableGradArgs& u) {
  int floats = 0;
  with_data_shape(u, [&]<class Shape>() {
    const auto take = [&]<class Tile>() { floats = Tile::kFloats; };
    if (u.dilation == 2) with_data_tile<Shape, 2>(u, take);
    else with_data_tile<Shape, 1>(u, take);
  });
  return floats;
}

}  // namespace

SeparableGradCut separable_grad_data_cut(const SeparableGradArgs& u) {
  SeparableGradCut cut{};
  with_data_shape(u, [&]<class Shape>() {
    cut = {int64_t{u.images} * cuda::ceil_div(u.height, Shape::kPixels) * cuda::ceil_div(u.width, Shape::kPixels),
           Shape::kGroup};
  });
  return cut;
}

void separable_grad_data(const Exec& exec, SeparableGradData& data) {
  int k = 0;
  for (int i = 0; i < data.first[data.parts]; ++i) {
    data.strips_at = std::max(data.strips_at, tile_floats(data.unit[i]));
    k = std::max(k, data.unit[i].k);
  }
  static_assert(DataTile<LargeShape, 5, 2>::kFloats + kStripFloats + 4 * kMostGradDepth < 12288 - 4);  // 48 KB
  const auto floats = static_cast<size_t>(data.strips_at + kStripFloats + 4 * k);
  cuda::launch_dependent(exec, "separable_grad_data_tiles",
                         exec.tf32 ? separable_grad_data_tiles<true> : separable_grad_data_tiles<false>,
                         dim3(static_cast<unsigned>(data.blocks)), dim3(kDataThreads), sizeof(float) * floats,
                         data);
}

}  // namespace mixop::kernels
