// The units of a separable call as a kernel argument, and how each is cut into tiles.
#pragma once

#include <array>

#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/reduce.cuh"
#include "kernels/core/cuda/stored.cuh"
#include "kernels/ops/separable_call.h"

namespace mixop::kernels {
namespace {

constexpr int kSeparableThreads = 64, kSeparableWarps = kSeparableThreads / cuda::kWarp;
constexpr int kSeparableGroup = 16;  ///< channels, of x or z, that are handled together

/// Floats of a cell of y in shared memory: an odd number of quads, so that 8 cells of one quad lie in different
/// banks. Large tiles have one group of channels, and the same pitch always.
constexpr int separable_y_pitch(bool large, int channels) {
  return large ? kSeparableGroup + 4 : (channels / 4 | 1) * 4;
}

/// Moments of many parts.
struct MergedMoments {
  double n, mean, m2;
};

/// Where the statistics of a unit go. A tile leaves parts_of_tile parts, the last one maybe fewer; tiles are merged
/// in groups, groups with each other (separable_forward_merge.cuh).
struct SeparableStatistics {
  cuda::Moments* part;    ///< [part][K], or null: no statistics
  MergedMoments* merged;  ///< [group][K]
  float *mean, *var, *rstd, *running_mean, *running_var;
  double eps, momentum;
  int parts, parts_of_tile, tiles, tiles_of_group;
  int ticket;  ///< the first of 1 + groups() tickets

  __host__ __device__ int groups() const { return (tiles + tiles_of_group - 1) / tiles_of_group; }
};

/// One unit. Offsets into shared memory are in floats.
struct SeparableForwardUnit {
  cuda::Stored x;
  cuda::DeviceLoader load;
  const float *w_dw, *w_pw;  ///< w_dw null: no depthwise half
  cuda::Stored z;
  SeparableStatistics statistics;
  int rows;  ///< of z
  int x_ld, z_ld, height, width, out_height, out_width, channels, out_channels, pad;
  int blocks, across;  ///< of this unit, and of a tile: each has some of its columns of z
  int y_at, w_at;      ///< where y and the 1x1 weights are kept
  short number;        ///< among all units of the call
  short kernel, stride, dilation;
  short columns;         ///< of w_pw that are kept at a time
  bool large;            ///< the tile has more cells
  signed char together;  ///< groups of channels whose x is kept at a time

  __host__ __device__ int groups() const { return (channels + kSeparableGroup - 1) / kSeparableGroup; }
  __host__ __device__ int input_step() const { return stride == dilation ? stride : 1; }
  __host__ __device__ int cells() const { return large ? 16 : 8; }  ///< of a tile along an axis
};

/// The cells that a block computes.
struct SeparablePlace {
  int64_t image;
  int row, column;  ///< of the first cell
};

/// Enough for the first halves of a reduction cell of the search network: 8 edges of 6 units.
constexpr int kMostSeparableUnits = 64;

/// Of one launch. Block b works on unit b % count.
struct SeparableForwardUnits {
  int count = 0;
  /// Null, or one number a unit of the call in device memory, so that a captured launch serves any choice of units:
  /// the blocks of a unit with 0 return at once, and its z, statistics and running statistics stay as they are.
  const int* active = nullptr;
  unsigned* tickets = nullptr;
  std::array<SeparableForwardUnit, kMostSeparableUnits> unit;
};
static_assert(sizeof(SeparableForwardUnits) <= 32764);  // of any kernel from CUDA 12.1 and sm_70 on

}  // namespace
}  // namespace mixop::kernels
