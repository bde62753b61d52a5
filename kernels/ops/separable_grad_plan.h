// How separable_grad on the CPU lays out its tiles, and where each unit's share of the workspace lies.
#pragma once

#include <algorithm>
#include <span>

#include "kernels/core/axis.h"
#include "kernels/core/gemm.h"
#include "kernels/core/tile.h"
#include "kernels/ops/separable_call.h"

namespace mixop::kernels {

/// Hands out pieces of a workspace, counted in floats; each begins on a cache line.
struct Pieces {
  int64_t floats = 0;
  int64_t take(int64_t n) {
    const int64_t at = floats;
    floats += round_up(n, 16);
    return at;
  }
};

/// An image [height][left + width + right] of pixels; the columns beside the image are zero, and so is what a
/// vector reads past them.
struct TileShape {
  static constexpr int64_t kMaxLanes = 16;
  int64_t height = 0, width = 0, left = 0, right = 0, pixel = 0;

  int64_t pitch() const { return round_up((left + width + right) * pixel + kMaxLanes, 16); }
  int64_t floats() const { return height * pitch(); }
  bool operator==(const TileShape&) const = default;
  void clear_sides(float* tile) const {
    for (int64_t y = 0; y < height; ++y, tile += pitch()) {
      std::fill(tile, tile + left * pixel, 0.0f);
      std::fill(tile + (left + width) * pixel, tile + pitch(), 0.0f);
    }
  }
  /// Row y; `zero` stands for those outside.
  const float* row(const float* tile, const float* zero, int64_t y) const {
    return y < 0 || y >= height ? zero : tile + y * pitch();
  }
};

/// A unit with its shapes; offsets are in floats.
struct GradUnit {
  SeparableGradOperands o;
  RowTransform t;
  Window window;
  bool depthwise;
  bool first, last;      ///< of the units that share x
  int64_t members;       ///< how many they are
  bool pixelwise;        ///< none of them has a depthwise half
  bool dense;            ///< nor a stride: all that counts is pixels, in rows of any width
  int64_t together = 1;  ///< units that the image pass takes at once
  int64_t channels, k, k_pitch, in_h, in_w, out_h, out_w;
  PixelLayout layout;  ///< of x, y and dY
  TileShape x_tile;    ///< of t(x), wide enough for all units that share it
  TileShape dy_tile;   ///< of dY
  int64_t chunk;       ///< rows of dz and y at a time, of a pixelwise group rows of x

  // In the part of the workspace that is written before the tasks start:
  int64_t norm_at;       ///< the three tables of dz [k_pitch]
  int64_t pointwise_at;  ///< w_pw^T, packed
  int64_t filter_at;     ///< w_dw for y, [block][r, s][lane]
  int64_t reversed_at;   ///< w_dw for dx, gather by gather
  int64_t transform_at;  ///< parameters of t
  // In a partial:
  int64_t dw_dw_at;  ///< [block][r, s][lane]
  int64_t dw_pw_at;  ///< [channels][k_pitch]
  int64_t sums_at;   ///< in doubles: s1, s2 [blocks * lanes]

  GradUnit(const Call& call, size_t i, Pieces& fixed, Pieces& partial, Pieces& sums)
      : o(separable_grad_operands(call, i)),
        window(o.unit->window),
        depthwise(o.unit->depthwise),
        channels(o.x->last()),
        k(o.z->last()),
        k_pitch(round_up(k, gemm_lanes())),
        in_h(o.x->shape[1]),
        in_w(o.x->shape[2]),
        out_h(o.z->shape[1]),
        out_w(o.z->shape[2]),
        layout(gemm_lanes(), channels) {
    const auto& a = call.attr<SeparableGradAttrs>();
    size_t begin = i, end = i + 1;
    while (a.units[begin].same_input) --begin;
    while (end < a.units.size() && a.units[end].same_input) ++end;
    first = i == begin, last = i + 1 == end, members = static_cast<int64_t>(end - begin);

    bool strided = false;
    pixelwise = dense = true;
    for (size_t u = begin; u < end; ++u) {
      strided |= a.units[u].window.stride > 1;
      pixelwise &= !a.units[u].depthwise;
      dense &= !a.units[u].depthwise && a.units[u].window == Window{1, 1, 0, 1};
    }
    if (strided) layout = PixelLayout(layout.lanes, channels, false);
    if (pixelwise) plan_pixels();
    else plan_tiles(std::span(a.units).subspan(begin, end - begin));

    norm_at = fixed.take(3 * k_pitch);
    pointwise_at = fixed.take(gemm_packed_floats(k, channels));
    filter_at = fixed.take(a.dw && depthwise ? filter_floats() : 0);
    reversed_at = fixed.take(a.dx && depthwise ? filter_floats() : 0);
    transform_at = fixed.take(row_transform_floats(o.unit->load, channels));
    dw_dw_at = partial.take(a.dw && depthwise ? filter_floats() : 0);
    dw_pw_at = partial.take(a.dw ? channels * k_pitch : 0);
    sums_at = sums.floats;
    if (a.dx && a.sums && last) sums.take(2 * row_lanes());
  }

  /// Output rows whose pixels lie in some rows of x; without a depthwise half.
  Range met_by(Range rows) const {
    const auto first = [&](int64_t y) {
      return std::clamp<int64_t>(ceil_div(std::max<int64_t>(y + window.pad, 0), window.stride), 0, out_h);
    };
    return {first(rows.begin), first(rows.end)};
  }

  int64_t columns() const { return layout.flat ? channels : layout.pixel; }  ///< of a product that gives pixels
  int64_t row_lanes() const { return layout.blocks * layout.lanes; }
  int64_t filter_floats() const { return int64_t{window.kernel} * window.kernel * row_lanes(); }
  int64_t column(int64_t x) const { return x * layout.pixel; }
  Axis forward(int axis) const {
    return forward_axis(window.kernel, window.stride, window.pad, window.dilation, axis ? in_w : in_h,
                        axis ? out_w : out_h);
  }
  Axis transposed(int axis, int phase) const {
    return transposed_axis(window.kernel, window.stride, window.pad, window.dilation, axis ? out_w : out_h,
                           axis ? in_w : in_h, phase);
  }
  /// From one filter column to the next in steps of `step` floats, as in StencilRow.
  int64_t spacing(const Axis& x, int64_t step) const {
    if (x.taps < 2) return 0;
    const int64_t apart = (x.offset[1] - x.offset[0]) * layout.pixel;
    return apart % step == 0 ? apart / step : 2 * apart == step ? -2 : 0;
  }

 private:
  void plan_tiles(std::span<const SeparableGradUnit> group) {
    x_tile = {in_h, in_w, 0, 0, layout.pixel};
    for (const SeparableGradUnit& u : group) {
      const Window& w = u.window;
      x_tile.left = std::max<int64_t>(x_tile.left, w.pad);
      x_tile.right = std::max(x_tile.right, (w.extent(in_w) - 1) * w.stride + w.span() - w.pad - in_w);
    }
    constexpr int64_t kChunkFloats = 2048;  // of dz and as many of y: half the first-level cache
    chunk = std::clamp<int64_t>(kChunkFloats / (out_w * std::max(layout.pixel, k_pitch)), 1, out_h);
    if (!depthwise) return;
    dy_tile = {out_h, out_w, 0, 0, layout.pixel};
    for (int p = 0; p < window.stride; ++p) {
      const Axis x = transposed(1, p);
      if (!x.taps || !x.count) continue;
      dy_tile.left = std::max<int64_t>(dy_tile.left, -x.offset[0]);
      dy_tile.right = std::max(dy_tile.right, x.count + x.offset[x.taps - 1] - out_w);
    }
  }

  void plan_pixels() {
    constexpr int64_t kChunkPixels = 32;  // with what belongs to them some of the first-level cache
    together = members;
    if (dense) {
      in_w = out_w = row_of_pixels(in_h * in_w, kChunkPixels);
      in_h = out_h = o.x->shape[1] * o.x->shape[2] / in_w;
    }
    chunk = std::clamp<int64_t>(kChunkPixels / in_w, 1, in_h);
  }
};

/// What a thread needs while it works on an image, of the largest unit.
struct GradScratch {
  int64_t x = 0, dy = 0, dx = 0, line = 0, dz = 0, y = 0, zero = 0, sums = 0;

  void fit(const GradUnit& u, const SeparableGradAttrs& a) {
    const auto grow = [](int64_t& to, int64_t n) { to = std::max(to, round_up(n, 16)); };
    const int64_t chunk_pixels = u.chunk * (u.pixelwise ? u.in_w : u.out_w);
    grow(dz, chunk_pixels * u.k_pitch + TileShape::kMaxLanes);
    grow(sums, 2 * u.row_lanes());
    if (u.pixelwise) {
      const int64_t pixels = u.column(chunk_pixels) + TileShape::kMaxLanes;
      if (a.dw) grow(x, pixels);
      grow(line, pixels);
      return;
    }
    if (a.dw) grow(x, u.x_tile.floats());
    if (a.dx && u.members > 1) grow(dx, dx_floats(u));
    if (!u.depthwise) return;
    grow(dy, u.dy_tile.floats());
    grow(line, u.layout.row_floats(u.in_w));
    if (a.dw) grow(y, u.column(chunk_pixels) + TileShape::kMaxLanes);
    grow(zero, std::max(u.x_tile.pitch(), u.dy_tile.pitch()));
  }
  static int64_t dx_pitch(const GradUnit& u) { return round_up(u.layout.row_floats(u.in_w), 16); }
  static int64_t dx_floats(const GradUnit& u) { return u.in_h * dx_pitch(u); }
  int64_t floats() const { return x + dy + 2 * dx + line + dz + y + zero + sums; }
};

}  // namespace mixop::kernels
