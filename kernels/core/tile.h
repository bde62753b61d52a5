// The tile of a depthwise convolution: input rows with their zero padding, after the on-load transform, laid out so
// that every vector of the inner loops is whole and a filter element is one pointer offset.
#pragma once

#include <algorithm>
#include <cstring>

#include "kernels/core/axis.h"
#include "kernels/core/pixel_rows.h"

namespace mixop::kernels {

/// How pixels lie in a tile for vectors of `lanes` floats. When C divides the vector, a row is one flat array and
/// the weight vector is periodic; else a pixel takes whole vectors and what is in the lanes past C is never read
/// back.
struct PixelLayout {
  int64_t lanes, channels;
  bool flat;
  int64_t pixel;   ///< floats from one pixel to the next
  int64_t blocks;  ///< channel vectors, each passes over the row by itself

  /// Without may_be_flat a pixel takes whole vectors in any case.
  PixelLayout(int64_t lanes_, int64_t channels_, bool may_be_flat = true)
      : lanes(lanes_),
        channels(channels_),
        flat(may_be_flat && lanes % channels == 0),
        pixel(flat ? channels : round_up(channels, lanes)),
        blocks(flat ? 1 : pixel / lanes) {}
  int64_t step() const { return flat ? lanes : pixel; }  ///< floats from one vector of a row to the next
  int64_t vectors(int64_t width) const { return flat ? ceil_div(width * pixel, lanes) : width; }
  int64_t row_floats(int64_t width) const { return vectors(width) * step(); }
  /// Rows of a tensor with this ld and width can be read and written by whole vectors in place.
  bool in_place(int64_t ld, int64_t pixel_step, int64_t width) const {
    if (channels % lanes == 0) return true;
    return flat && ld == channels && pixel_step == 1 && width * channels % lanes == 0;
  }
};

/// The tensor [N,H,W,C] that fills a tile.
struct TileSource {
  const float* data;
  int64_t ld;
  RowTransform t;
};

/// A ring of the input rows that the outputs in progress read. A row with in_step s is stored as s sub-rows, one
/// for each column modulo s, so that the stencil always steps by one pixel.
class TileRows {
 public:
  static constexpr int64_t kMaxStep = 8;

  /// Keeps the rows for `chunk` consecutive output rows. in_step at most kMaxStep.
  TileRows(const Axis& h, const Axis& w, const PixelLayout& layout, int64_t chunk)
      : h_(h), w_(w), layout_(layout), base_(w.min_offset()) {
    pixels_ = w.taps ? w.count + (w.span() - 1) / w.in_step : 0;
    sub_ = round_up(pixels_ * layout.pixel + layout.lanes, 16);
    capacity_ = std::max<int64_t>(1, h.span() + (chunk - 1) * h.in_step);
    for (int64_t q = 0; q < w.in_step; ++q) {
      // Pixel j of the sub-row is input column j * in_step + base + q; those from begin to end lie in the image.
      const int64_t begin = std::clamp<int64_t>(-floor_div(base_ + q), 0, pixels_);
      sub_rows_[q] = {begin, std::clamp<int64_t>(-floor_div(base_ + q - w.in), begin, pixels_), w.reads(q)};
    }
  }
  int64_t row_floats() const { return sub_ * w_.in_step; }
  int64_t floats() const { return capacity_ * row_floats(); }

  /// From one filter column to the next, as in StencilRow.
  int64_t spacing() const {
    if (w_.taps < 2 || w_.in_step > 1) return 0;
    const int64_t apart = (w_.offset[1] - w_.offset[0]) * layout_.pixel, step = layout_.step();
    return apart % step == 0 ? apart / step : 2 * apart == step ? -2 : 0;
  }
  /// Where filter column tap s begins within a row.
  int64_t column(int s) const {
    const int64_t at = w_.offset[s] - base_;
    return at % w_.in_step * sub_ + at / w_.in_step * layout_.pixel;
  }

  /// Starts at output row i of the image. Zeroes the columns beside the image, which no later row touches.
  void start(float* ring, const TileSource& source, int64_t image, int64_t i) {
    ring_ = ring, source_ = &source, image_ = image;
    next_ = i * h_.in_step;
    for (int64_t row = 0; row < capacity_; ++row) {
      for (int64_t q = 0; q < w_.in_step; ++q) {
        float* const to = ring + row * row_floats() + q * sub_;
        std::fill(to, to + sub_rows_[q].begin * layout_.pixel, 0.0f);
        std::fill(to + sub_rows_[q].end * layout_.pixel, to + sub_, 0.0f);
      }
    }
  }
  /// Loads what output rows up to i need and are not there yet.
  void load_until(int64_t i, const RowFunctions& rows) {
    const int64_t end = i * h_.in_step + h_.span();
    for (; next_ < end; ++next_) {
      if (h_.in_step == 1 || h_.reads(next_ % h_.in_step)) load_row(next_, rows);
    }
  }
  /// What the filter rows of output row i read: row[r] for each tap r.
  void rows(int64_t i, const float** row) const {
    const int64_t first = i * h_.in_step % capacity_;
    for (int r = 0; r < h_.taps; ++r) {
      const int64_t slot = first + h_.offset[r] - h_.min_offset();
      row[r] = ring_ + (slot < capacity_ ? slot : slot - capacity_) * row_floats();
    }
  }

 private:
  struct SubRow {
    int64_t begin, end;
    bool used;
  };

  void load_row(int64_t row, const RowFunctions& rows) const {
    float* to = ring_ + row % capacity_ * row_floats();
    const int64_t y = row + h_.min_offset();
    for (int64_t q = 0; q < w_.in_step; ++q, to += sub_) {
      const auto [begin, end, used] = sub_rows_[q];
      if (!used || begin == end) continue;
      if (y < 0 || y >= h_.in) {
        std::fill(to + begin * layout_.pixel, to + end * layout_.pixel, 0.0f);
        continue;
      }
      const int64_t pixel = (image_ * h_.in + y) * w_.in + begin * w_.in_step + base_ + q;
      rows.load(source_->data + pixel * source_->ld, source_->ld * w_.in_step, end - begin, layout_.channels,
                source_->t, to + begin * layout_.pixel, layout_.pixel, !layout_.flat);
    }
  }
  int64_t floor_div(int64_t a) const { return a >= 0 ? a / w_.in_step : -ceil_div(-a, w_.in_step); }

  const Axis &h_, &w_;
  const PixelLayout& layout_;
  int64_t base_, pixels_, sub_, capacity_;
  std::array<SubRow, kMaxStep> sub_rows_;
  float* ring_ = nullptr;
  const TileSource* source_ = nullptr;
  int64_t image_ = 0, next_ = 0;
};

}  // namespace mixop::kernels
