// Tiles of the depthwise kernels: a block takes kCells x kCells cells of one image and 16 channels, copies the
// input they read through the on-load transform into shared memory, zero outside the image, and each thread works
// on a strip of kRows x kColumns neighbouring cells and a few channels without any boundary test. A cell is one
// output pixel, or stride x stride pixels of a data gradient. Along each axis
//   window element q of cell o lies at input position first + step * (kStep * o + kDilation * q).
#pragma once

#include <limits>

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/shared.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/conv2d.h"

namespace mixop::kernels {
namespace {

/// x and y are the convolution's input and output.
inline bool is_depthwise(const Call& call, const View& x, const View& y) {
  return all_float32(call) && call.attr<Conv2dAttrs>().groups == x.last() && y.last() == x.last();
}
/// The convolutions that tiles serve.
inline bool is_square(const Conv2dAttrs& a) {
  const auto pair_in = [](const std::array<int, 2>& p, int first, int second) {
    return p[0] == p[1] && (p[0] == first || p[0] == second);
  };
  return pair_in(a.kernel, 3, 5) && pair_in(a.stride, 1, 2) && pair_in(a.dilation, 1, 2);
}
/// Channels can be read 4 at a time, and an offset within an image fits 32 bits.
inline bool in_vectors(const View& v) {
  return cuda::aligned4(v.data, v.ld, v.last()) &&
         v.shape[1] * v.shape[2] * v.ld <= std::numeric_limits<int32_t>::max();
}

constexpr int kGroup = 16;   ///< channels of a block
constexpr int kColumns = 4;  ///< cells of a strip, which share what they read

/// The forward pass, and the data gradient of stride 1 with its filter reversed: filter element q meets window
/// element q.
template <int kKernel_, int kStep_>
struct ForwardWindow {
  static constexpr int kKernel = kKernel_, kStep = kStep_, kPhases = 1, kSize = kKernel;
  static constexpr int filter(int, int q) { return q; }
};

/// The data gradient of stride 2: the outputs 2a and 2a + 1 of cell a read dy at a + floor(pad / 2) + kFirst + q.
/// From 2 oh = ih + pad - r * dilation with the parity of a padding that keeps the extent.
template <int kKernel_, int kTapStep>
struct BackwardWindow {
  static constexpr int kKernel = kKernel_, kStep = 1, kPhases = 2;
  static constexpr int kOdd = kKernel / 2 * kTapStep % 2;
  static constexpr int kFirst = -(((kKernel - 1) * kTapStep - kOdd) / 2);
  static constexpr int kSize = (1 + kOdd) / 2 - kFirst + 1;
  /// The element that meets window element q for output 2a + phase; -1: none.
  static constexpr int filter(int phase, int q) {
    const int at = phase + kOdd - 2 * (kFirst + q);
    return at >= 0 && at % kTapStep == 0 && at / kTapStep < kKernel ? at / kTapStep : -1;
  }
};

/// Cells whose positions agree modulo the dilation form a class, which is stored as an image of its own: within a
/// class the convolution has no dilation.
template <class Window_, int kDilation_, int kCells_, int kRows_, int kVector_>
struct DepthwiseTile {
  using Window = Window_;
  static constexpr int kDilation = kDilation_, kCells = kCells_, kRows = kRows_;
  static constexpr int kVector = kVector_;         ///< channels of a thread
  static constexpr int kLanes = kGroup / kVector;  ///< threads side by side along the channels
  static constexpr int kTaps = Window::kKernel * Window::kKernel;
  static constexpr int kSide = kCells / kDilation;  ///< cells of a class along an axis
  static constexpr int kStripRows = kSide / kRows, kStripColumns = kSide / kColumns;
  static constexpr int kStrips = kDilation * kDilation * kStripRows * kStripColumns;
  static constexpr int kThreads = kStrips * kLanes;
  /// Input positions of a class, of the tile and of a strip.
  static constexpr int kInside = (kSide - 1) * Window::kStep + Window::kSize;
  static constexpr int kSpan = kInside * kDilation;
  static constexpr int kRowsIn = (kRows - 1) * Window::kStep + Window::kSize;
  static constexpr int kColumnsIn = (kColumns - 1) * Window::kStep + Window::kSize;
  // An even pitch and one pixel more after the rows of each strip: strips one below the other start an odd number
  // of pixels, that is of half bank rows, apart, so that the threads of one access meet no bank twice.
  static constexpr int kPitch = kInside + kInside % 2;
  static constexpr int kStripStep = kRows * Window::kStep;
  static constexpr int kClassPixels = kInside * kPitch + (kInside - 1) / kStripStep;
  static constexpr int kFloats = kDilation * kDilation * kClassPixels * kGroup;

  static constexpr int row_offset(int row) { return row * kPitch + row / kStripStep; }
  /// Where the pixel at this position of the tile's input is kept.
  __device__ static int at(int row, int column) {
    const int cls = row % kDilation * kDilation + column % kDilation;
    return cls * kClassPixels + row_offset(row / kDilation) + column / kDilation;
  }

  /// What thread i works on.
  struct Strip {
    int channel, row, column, row_class, column_class;
    __device__ explicit Strip(int i) {
      channel = i % kLanes * kVector;
      i /= kLanes;
      row = i % kStripRows;
      i /= kStripRows;
      column = i % kStripColumns;
      i /= kStripColumns;
      row_class = i / kDilation;
      column_class = i % kDilation;
    }
    /// Its first pixel in shared memory.
    __device__ int base() const {
      return (row_class * kDilation + column_class) * kClassPixels + row_offset(row * kStripStep) +
             column * kColumns * Window::kStep;
    }
    /// Its cells, relative to the tile.
    __device__ int cell_row(int i) const { return (row * kRows + i) * kDilation + row_class; }
    __device__ int cell_column(int p) const { return (column * kColumns + p) * kDilation + column_class; }
  };
};

__device__ __forceinline__ float4 gather4(const float* p) { return make_float4(p[0], p[1], p[2], p[3]); }

/// t of 4 neighbouring channels with its parameters in registers; parts that are off do nothing.
struct Transform4 {
  float4 mean = make_float4(0, 0, 0, 0), scale = make_float4(1, 1, 1, 1), shift = make_float4(0, 0, 0, 0);
  bool relu;

  __device__ Transform4(const cuda::DeviceLoader& load, int c) : relu(load.relu) {
    if (!load.mean) return;
    mean = gather4(load.mean + c);
    scale = gather4(load.rstd + c);
    if (!load.gamma) return;
    const float4 gamma = gather4(load.gamma + c);
    scale = make_float4(scale.x * gamma.x, scale.y * gamma.y, scale.z * gamma.z, scale.w * gamma.w);
    shift = gather4(load.beta + c);
  }
  __device__ __forceinline__ float rectified(float x) const { return relu && x <= 0 ? 0.0f : x; }
  __device__ __forceinline__ float4 operator()(float4 x) const {
    return make_float4(
        rectified(fmaf(x.x - mean.x, scale.x, shift.x)), rectified(fmaf(x.y - mean.y, scale.y, shift.y)),
        rectified(fmaf(x.z - mean.z, scale.z, shift.z)), rectified(fmaf(x.w - mean.w, scale.w, shift.w)));
  }
};

/// The operand that is read through the window; see the top of this file for first and step.
struct DepthwiseInput {
  const float* data;
  int64_t ld;
  int height, width, channels;
  int first_row, first_column, step;
  cuda::DeviceLoader load;
};

/// x of conv2d and conv2d_wgrad. A stride that the dilation divides by reads every second position only, and then
/// there is no dilation among these.
inline DepthwiseInput forward_input(const Call& call, const View& x, int window_step) {
  const auto& a = call.attr<Conv2dAttrs>();
  return {x.as<float>(),
          x.ld,
          static_cast<int>(x.shape[1]),
          static_cast<int>(x.shape[2]),
          static_cast<int>(x.last()),
          -a.pad_begin[0],
          -a.pad_begin[1],
          a.stride[0] / window_step,
          cuda::device_loader(call, a.load, 2)};
}

/// Calls f.template operator()<Tile>() with the tile of a forward window; `large`: an extent of the output is above
/// 8. Threads with fewer channels take more rows.
template <int kVector, int kKernel, class F>
void with_forward_tile(const Conv2dAttrs& a, bool large, F&& f) {
  using Dense = ForwardWindow<kKernel, 1>;
  constexpr int kRows = 4 / kVector;
  const int stride = a.stride[0], dilation = a.dilation[0];
  if (stride > dilation) f.template operator()<DepthwiseTile<ForwardWindow<kKernel, 2>, 1, 8, kRows, kVector>>();
  else if (stride < dilation && large) f.template operator()<DepthwiseTile<Dense, 2, 16, 2 * kRows, kVector>>();
  else if (stride < dilation) f.template operator()<DepthwiseTile<Dense, 2, 8, kRows, kVector>>();
  else if (large) f.template operator()<DepthwiseTile<Dense, 1, 16, 2 * kRows, kVector>>();
  else f.template operator()<DepthwiseTile<Dense, 1, 8, kRows, kVector>>();
}
template <int kVector, class F>
void with_forward_tile(const Conv2dAttrs& a, bool large, F&& f) {
  if (a.kernel[0] == 3) with_forward_tile<kVector, 3>(a, large, f);
  else with_forward_tile<kVector, 5>(a, large, f);
}

/// The part of a call that one block works on.
struct TilePlace {
  int64_t image;
  int row, column;  ///< of the first cell
};

/// Tiles are counted along rows, then columns, then images.
struct TileGrid {
  int rows, columns;  ///< tiles
  __device__ TilePlace place(int64_t tile, int cells) const {
    const int64_t image = tile / (rows * columns);
    const int rest = static_cast<int>(tile - image * (rows * columns));
    return {image, rest / columns * cells, rest % columns * cells};
  }
};

/// Fills `shared` with t(x) of what the tile at `place` reads, channels group * 16 and on.
template <class Tile, class S>
__device__ void stage_tile(S shared, const DepthwiseInput& x, TilePlace place, int group) {
  constexpr int kQuads = kGroup / 4, kStride = Tile::kThreads / kQuads, kPixels = Tile::kSpan * Tile::kSpan;
  constexpr int kBatch = 2 * Tile::kVector;  // threads with fewer channels hold more besides
  const int lane = static_cast<int>(threadIdx.x) % kQuads * 4, c = group * kGroup + lane;
  const bool present = c < x.channels;
  const Transform4 t(present ? x.load : cuda::DeviceLoader(), c);
  const float* const image = x.data + place.image * x.height * x.width * x.ld + c;
  const int ld = static_cast<int>(x.ld);
  const int first_row = x.first_row + x.step * Tile::Window::kStep * place.row;
  const int first_column = x.first_column + x.step * Tile::Window::kStep * place.column;
  const auto inside = [&](int i) {
    const int h = first_row + x.step * (i / Tile::kSpan), w = first_column + x.step * (i % Tile::kSpan);
    return present && i < kPixels && h >= 0 && h < x.height && w >= 0 && w < x.width;
  };
  // All loads of a batch come before its first store, so that a thread waits for memory once a batch.
  for (int first = static_cast<int>(threadIdx.x) / kQuads; first < kPixels; first += kBatch * kStride) {
    float4 v[kBatch];
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      const int h = first_row + x.step * (i / Tile::kSpan), w = first_column + x.step * (i % Tile::kSpan);
      v[b] = inside(i) ? cuda::load4(image + (h * x.width + w) * ld) : make_float4(0, 0, 0, 0);
    }
#pragma unroll
    for (int b = 0; b < kBatch; ++b) {
      const int i = first + b * kStride;
      if (i >= kPixels) break;
      const int to = Tile::at(i / Tile::kSpan, i % Tile::kSpan) * kGroup + lane;
      cuda::store4(shared, to, inside(i) ? t(v[b]) : make_float4(0, 0, 0, 0));
    }
  }
}

}  // namespace
}  // namespace mixop::kernels
