// One unit of a separable_grad call as the CUDA kernels see it, and dz of it on load.
#pragma once

#include <vector>

#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/stored.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/separable_call.h"

namespace mixop::kernels {

struct SeparableGradArgs {
  cuda::Stored dy, z, x, dx;  ///< dx that of the group
  const float *mean, *rstd, *s1, *s2;
  const float *gamma, *scale, *factor;  ///< or null
  const float *w_dw, *w_pw;
  cuda::DeviceLoader load;
  float *dx_s1, *dx_s2;  ///< of the group; what is not wanted is null
  float *dw_dw, *dw_pw;
  const int* active;  ///< null, or this unit's element of the call's table
  int dy_ld, z_ld, x_ld, dx_ld;
  int images, height, width, channels;  ///< of x
  int out_height, out_width, k;         ///< of z
  short kernel, stride, pad, dilation;
  bool add;        ///< dx
  bool depthwise;  ///< else w_dw and dw_dw are null

  __host__ __device__ int taps() const { return depthwise ? kernel * kernel : 0; }
  __host__ __device__ int64_t rows() const { return int64_t{images} * height * width; }
  __host__ __device__ int64_t out_rows() const { return int64_t{images} * out_height * out_width; }
  __device__ bool is_active() const { return !active || *active != 0; }
  __device__ float factor_of(int64_t image) const { return factor ? factor[image] : 1.0f; }
};

inline SeparableGradArgs separable_grad_args(const Call& call, size_t i) {
  const SeparableGradOperands o = separable_grad_operands(call, i);
  const SeparableGradUnit& u = *o.unit;
  const auto data = [](const View* v) { return v ? v->as<float>() : nullptr; };
  const auto extent = [](int64_t n) { return static_cast<int>(n); };
  const float* scale = data(o.table);
  if (scale) scale += u.scale_index / o.table->last() * o.table->ld + u.scale_index % o.table->last();
  return {.dy = cuda::Stored(*o.dy),
          .z = cuda::Stored(*o.z),
          .x = cuda::Stored(*o.x),
          .dx = o.dx ? cuda::Stored(*o.dx) : cuda::Stored(),
          .mean = data(o.mean),
          .rstd = data(o.rstd),
          .s1 = data(o.s1),
          .s2 = data(o.s2),
          .gamma = data(o.gamma),
          .scale = scale,
          .factor = data(o.factor),
          .w_dw = data(o.w_dw),
          .w_pw = data(o.w_pw),
          .load = cuda::device_loader(call, u.load, o.load_at),
          .dx_s1 = data(o.dx_s1),
          .dx_s2 = data(o.dx_s2),
          .dw_dw = data(o.dw_dw),
          .dw_pw = data(o.dw_pw),
          .active = call.attr<SeparableGradAttrs>().active ? call.in.back().as<int32_t>() + i : nullptr,
          .dy_ld = extent(o.dy->ld),
          .z_ld = extent(o.z->ld),
          .x_ld = extent(o.x->ld),
          .dx_ld = o.dx ? extent(o.dx->ld) : 0,
          .images = extent(o.x->shape[0]),
          .height = extent(o.x->shape[1]),
          .width = extent(o.x->shape[2]),
          .channels = extent(o.x->last()),
          .out_height = extent(o.z->shape[1]),
          .out_width = extent(o.z->shape[2]),
          .k = extent(o.z->last()),
          .kernel = static_cast<short>(u.window.kernel),
          .stride = static_cast<short>(u.window.stride),
          .pad = static_cast<short>(u.window.pad),
          .dilation = static_cast<short>(u.window.dilation),
          .add = o.dx && o.dx->write == Write::kAdd,
          .depthwise = u.depthwise};
}

/// dz = dy_factor dy + (z - mean) z_factor + constant, folded for one channel k:
///   gamma rstd (a dy - s1/M - (z - mean) rstd s2/M), where dy has been multiplied by factor_of its image.
struct NormGradient {
  float dy_factor, mean, z_factor, constant;

  __device__ __forceinline__ NormGradient(const SeparableGradArgs& u, int k) : mean(u.mean[k]) {
    const float rows = static_cast<float>(u.out_rows()), rstd = u.rstd[k];
    const float factor = u.gamma ? rstd * u.gamma[k] : rstd;
    dy_factor = u.scale ? factor * *u.scale : factor;
    z_factor = -factor * rstd * (u.s2[k] / rows);
    constant = -factor * (u.s1[k] / rows);
  }
  __device__ __forceinline__ float operator()(float dy, float z) const {
    return fmaf(dy, dy_factor, fmaf(z - mean, z_factor, constant));
  }
};

/// t of 4 neighbouring channels with its parameters in registers.
struct GradLoadQuad {
  float4 mean = make_float4(0, 0, 0, 0), scale = make_float4(1, 1, 1, 1), shift = make_float4(0, 0, 0, 0);
  bool relu;

  __device__ __forceinline__ GradLoadQuad(const cuda::DeviceLoader& t, int c) : relu(t.relu) {
    if (!t.mean) return;
    mean = cuda::load4(t.mean + c);
    scale = cuda::load4(t.rstd + c);
    if (!t.gamma) return;
    const float4 gamma = cuda::load4(t.gamma + c);
    scale = make_float4(scale.x * gamma.x, scale.y * gamma.y, scale.z * gamma.z, scale.w * gamma.w);
    shift = cuda::load4(t.beta + c);
  }
  __device__ __forceinline__ float4 centred(float4 x) const {
    return make_float4(x.x - mean.x, x.y - mean.y, x.z - mean.z, x.w - mean.w);
  }
  __device__ __forceinline__ float4 operator()(float4 x) const {
    x = cuda::fma4(shift, centred(x), scale);
    if (!relu) return x;
    return make_float4(x.x <= 0 ? 0 : x.x, x.y <= 0 ? 0 : x.y, x.z <= 0 ? 0 : x.z, x.w <= 0 ? 0 : x.w);
  }
  /// v where the relu lets pass, 0 elsewhere.
  __device__ __forceinline__ float4 masked(float4 v, float4 x) const {
    if (!relu) return v;
    x = cuda::fma4(shift, centred(x), scale);
    return make_float4(x.x <= 0 ? 0 : v.x, x.y <= 0 ? 0 : v.y, x.z <= 0 ? 0 : v.z, x.w <= 0 ? 0 : v.w);
  }
};

constexpr int kMostGradUnits = 96;                               ///< of one launch
constexpr int kMostGradDepth = 256, kMostGradWeightDepth = 128;  ///< channels of z that the kernels can keep

/// The last of n entries (each begins at a block of the launch) that begins at or before this block.
template <class T>
__device__ __forceinline__ int entry_of_block(const T* entries, int n) {
  int begin = 0;
  for (int end = n; end - begin > 1;) {
    const int middle = (begin + end) / 2;
    (static_cast<int>(blockIdx.x) < entries[middle].first_block ? end : begin) = middle;
  }
  return begin;
}

/// Units that read the same x. Each part of them sums up its share of dx in registers.
struct SeparableGradGroup {
  float* shares;    ///< [part][pixel][C] where there are several parts
  float* sums;      ///< s1 and s2 of each tile, or null: [channels of a block][tile][2][..]
  int first_block;  ///< block (tile, channels, part) of the launch, the part running fastest
  int tiles, first_part, parts;
  int ticket, sums_ticket;  ///< the first of those for the shares of a tile, and of those for the sums
};

/// The argument of one launch for dx. Part p are the units first[p] .. first[p + 1] - 1, dilated ones first.
struct SeparableGradData {
  unsigned* tickets = nullptr;
  int groups = 0, parts = 0, blocks = 0, tickets_used = 0;
  int strips_at = 0;  ///< floats of shared memory before which tiles end
  short first[kMostGradUnits + 1] = {};
  SeparableGradGroup group[kMostGradUnits];
  SeparableGradArgs unit[kMostGradUnits];
};

/// The blocks of one unit in a launch for the weights.
constexpr int kGradWeightChannels = 16, kGradWeightSide = 8;  ///< of a block; of its tiles
struct SeparableGradWork {
  float* partial;   ///< [channels of a block][block][their dw_dw, then dw_pw]
  int first_block;  ///< block (.., channels) of the launch, the channels running fastest
  int blocks;       ///< for each 16 channels
  int ticket;
};
struct SeparableGradWeights {
  unsigned* tickets = nullptr;
  int units = 0, blocks = 0, tickets_used = 0;
  SeparableGradWork work[kMostGradUnits];
  SeparableGradArgs unit[kMostGradUnits];
};
/// Tiles of a unit, and floats of a block's partial sums.
__host__ __device__ inline int64_t separable_grad_weight_tiles_of(const SeparableGradArgs& u) {
  const int across = (u.out_width + kGradWeightSide - 1) / kGradWeightSide;
  return int64_t{u.images} * across * ((u.out_height + kGradWeightSide - 1) / kGradWeightSide);
}
__host__ __device__ inline int separable_grad_weight_partial(const SeparableGradArgs& u) {
  return kGradWeightChannels * (u.taps() + u.k);
}
constexpr size_t kMostParameterBytes = 32764;  // from CUDA 12.1 and sm_70 on
static_assert(sizeof(SeparableGradData) <= kMostParameterBytes &&
              sizeof(SeparableGradWeights) <= kMostParameterBytes);

/// The parts of separable_grad; each starts its kernels.
/// What is wanted of a unit, dx alike for all units of a group: any window and channels
/// (separable_grad_plain_cuda.cu). Uses so many bytes from exec->workspace on.
struct SeparableGradPlain {
  bool dx = false, dw = false;
};
void separable_grad_plain(const Call& call, const std::vector<SeparableGradPlain>& wanted);
size_t separable_grad_plain_bytes(const Call& call);
/// dx of groups and its sums (separable_grad_data_cuda.cu).
void separable_grad_data(const Exec& exec, SeparableGradData& data);
/// How dx of a group is cut: tiles of all images, and channels that a block takes.
struct SeparableGradCut {
  int64_t tiles;
  int channels;
};
SeparableGradCut separable_grad_data_cut(const SeparableGradArgs& unit);
/// dw_dw and dw_pw (separable_grad_weights_cuda.cu).
void separable_grad_weights(const Exec& exec, const SeparableGradWeights& weights);
/// The floats of shared memory that a unit needs there.
int separable_grad_weight_floats(const SeparableGradArgs& unit);

}  // namespace mixop::kernels
