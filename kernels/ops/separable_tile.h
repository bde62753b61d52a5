// The tile of a group of windows that read the same image: rows of t(x) with the padding that the widest
// of them needs, loaded once for all.
#pragma once

#include <algorithm>

#include "kernels/core/pixel_rows.h"
#include "kernels/ops/separable.h"

namespace mixop::kernels {

/// How C channels lie for vectors of `lanes` floats. Whole vectors of a pixel lie together. The channels left over
/// are a row of their own without gaps when they divide the vector, so that no lane idles; else they take one more
/// whole vector, whose lanes past C are never read back.
struct ChannelLayout {
  int64_t lanes, channels, blocks, tail;

  ChannelLayout(int64_t lanes_, int64_t channels_) : lanes(lanes_), channels(channels_) {
    const int64_t rest = channels % lanes;
    const bool flat = rest && lanes % rest == 0;
    blocks = channels / lanes + (rest && !flat);
    tail = flat ? rest : 0;
  }
  int64_t pixel() const { return blocks * lanes; }             ///< floats of a pixel's vectors
  int64_t vector_channels() const { return channels - tail; }  ///< channels in them
  int64_t row_floats(int64_t pixels) const {                   ///< aligned for any vector
    return pixels * pixel() + tail_floats(pixels);
  }
  /// A vector may begin at any pixel of the tail, hence one more.
  int64_t tail_floats(int64_t pixels) const { return tail ? round_up(pixels * tail + lanes, 16) : 0; }
  int64_t tail_vectors(int64_t pixels) const { return ceil_div(pixels * tail, lanes); }
};

/// Where the windows of a group, all of one stride, reach from the position that an output stands on.
struct Reach {
  static constexpr int kMaxStride = 8;
  int64_t stride = 1, before = 0, after = 0;
  bool read[kMaxStride][kMaxStride] = {};  ///< rows and columns of x modulo the stride
  void add(const Window& w) {
    stride = w.stride;
    before = std::max<int64_t>(before, w.pad);
    after = std::max(after, w.span() - 1 - w.pad);
    for (int t = 0; t < w.kernel * w.kernel; ++t)
      read[residue(t / w.kernel * w.dilation - w.pad)][residue(t % w.kernel * w.dilation - w.pad)] = true;
  }
  int64_t residue(int64_t at) const { return (at % stride + stride) % stride; }
  bool reads(int64_t row, int64_t column) const { return read[residue(row)][residue(column)]; }
};

/// A ring of the rows that the output rows in progress read. A row with stride s is s sub-rows, one for each column
/// modulo s, so that neighbouring outputs always read neighbouring pixels. Rows are counted from the first one of a
/// band of output rows.
class GroupTile {
 public:
  /// Keeps the rows for `lines` consecutive rows of out_width outputs from an image of height * width pixels.
  GroupTile(const ChannelLayout& layout, const Reach& reach, int64_t height, int64_t width, int64_t out_width,
            int64_t lines)
      : layout_(layout),
        reach_(reach),
        height_(height),
        width_(width),
        pixels_(out_width + (reach.before + reach.after) / reach.stride),
        sub_(round_up(layout.row_floats(pixels_), 16)),
        capacity_(rows(lines)) {}
  int64_t floats() const { return capacity_ * row_floats(); }
  /// Rows that consecutive output rows read.
  int64_t rows(int64_t lines) const { return (lines - 1) * reach_.stride + reach_.before + reach_.after + 1; }
  /// Row of the image that is row i of the band from output row `first` on.
  int64_t image_row(int64_t first, int64_t i) const { return first * reach_.stride - reach_.before + i; }

  /// Zeroes the columns beside the image, which no row touches.
  void start(float* ring) const {
    for (int64_t i = 0; i < capacity_ * reach_.stride; ++i, ring += sub_) {
      const auto [begin, end] = inside(i % reach_.stride);
      std::fill(ring, ring + begin * layout_.pixel(), 0.0f);
      std::fill(ring + end * layout_.pixel(), ring + tail_at(), 0.0f);
      std::fill(ring + tail_at(), ring + tail_at() + begin * layout_.tail, 0.0f);
      std::fill(ring + tail_at() + end * layout_.tail, ring + sub_, 0.0f);
    }
  }
  /// Loads rows [begin, end) of the band that starts at output row `first` of image x [H,W,C], whose pixels lie ld
  /// apart.
  void load(const float* x, int64_t ld, const RowTransform& t, int64_t first, Range rows, float* ring,
            const RowFunctions& functions) const {
    const int64_t stride = reach_.stride, pixel = layout_.pixel(), channels = layout_.vector_channels();
    for (int64_t i = rows.begin; i < rows.end; ++i) {
      const int64_t y = image_row(first, i);
      float* to = ring + i % capacity_ * row_floats();
      for (int64_t q = 0; q < stride; ++q, to += sub_) {
        if (!reach_.reads(y, q - reach_.before)) continue;
        const auto [begin, end] = inside(q);
        float* const tail = to + tail_at() + begin * layout_.tail;
        if (y < 0 || y >= height_) {
          std::fill(to + begin * pixel, to + end * pixel, 0.0f);
          std::fill(tail, tail + (end - begin) * layout_.tail, 0.0f);
          continue;
        }
        const float* from = x + (y * width_ + begin * stride + q - reach_.before) * ld;
        if (channels) functions.load(from, ld * stride, end - begin, channels, t, to + begin * pixel, pixel, true);
        if (layout_.tail) {
          functions.load(from + channels, ld * stride, end - begin, layout_.tail, t.from_channel(channels), tail,
                         layout_.tail, true);
          float* const end_of_tail = tail + (end - begin) * layout_.tail;
          std::fill(end_of_tail, end_of_tail + layout_.lanes, 0.0f);
        }
      }
    }
  }

  /// What the filter rows of output row i of the band read.
  void rows_of(const Window& w, int64_t i, const float* ring, const float** row) const {
    int64_t slot = (i * reach_.stride + reach_.before - w.pad) % capacity_;
    for (int r = 0; r < w.kernel; ++r) {
      row[r] = ring + slot * row_floats();
      slot += w.dilation;
      while (slot >= capacity_) slot -= capacity_;
    }
  }
  /// Filter column s, within a row: of the pixels' vectors and of the tail.
  int64_t column(const Window& w, int s) const { return sub_row(w, s) + pixel(w, s) * layout_.pixel(); }
  int64_t tail_column(const Window& w, int s) const {
    return sub_row(w, s) + tail_at() + pixel(w, s) * layout_.tail;
  }
  /// As in StencilRow. With stride 2 every other filter column lies in the same sub-row.
  int64_t spacing(const Window& w) const {
    if (w.dilation % w.stride == 0) return w.dilation / w.stride;
    return w.stride == 2 && w.dilation == 1 ? -2 : 0;
  }
  int64_t tail_spacing(const Window& w) const {
    if (w.dilation % w.stride) return 0;
    const int64_t apart = w.dilation / w.stride * layout_.tail;
    return apart % layout_.lanes == 0 ? apart / layout_.lanes : 2 * apart == layout_.lanes ? -2 : 0;
  }

 private:
  int64_t row_floats() const { return sub_ * reach_.stride; }
  int64_t tail_at() const { return pixels_ * layout_.pixel(); }
  /// Pixel j of sub-row q is input column j * stride + q - before; those in this range lie in the image.
  Range inside(int64_t q) const {
    const int64_t begin = clamp_pixel(reach_.before - q);
    return {begin, std::max(begin, clamp_pixel(reach_.before - q + width_))};
  }
  int64_t clamp_pixel(int64_t column) const {
    return std::min(pixels_, column <= 0 ? 0 : ceil_div(column, reach_.stride));
  }
  int64_t at(const Window& w, int s) const { return reach_.before - w.pad + int64_t{s} * w.dilation; }
  int64_t sub_row(const Window& w, int s) const { return at(w, s) % reach_.stride * sub_; }
  int64_t pixel(const Window& w, int s) const { return at(w, s) / reach_.stride; }

  ChannelLayout layout_;
  Reach reach_;
  int64_t height_, width_, pixels_, sub_, capacity_;
};

}  // namespace mixop::kernels
