// Patches (im2col): the inputs that one output pixel reads, laid out as one row of a matrix.
#pragma once

#include <algorithm>

#include "kernels/core/gemm.h"
#include "kernels/ops/conv2d_gather.h"

namespace mixop::kernels {

/// Output pixels m = i * w.count + j of one image; calls f(i, first j, columns, index of the first within the
/// range).
template <class F>
void for_row_segments(Range pixels, int64_t width, F&& f) {
  for (int64_t m = pixels.begin; m < pixels.end;) {
    const int64_t i = m / width, j = m % width, n = std::min(width - j, pixels.end - m);
    f(i, j, n, m - pixels.begin);
    m += n;
  }
}

struct PatchSource {
  const float* data;  ///< [N, height, width, all channels]
  int64_t ld;
  RowTransform t;
};

/// Writes row p = pixel pixels.begin + p of `image` to to[p * ld ...]: for each filter element of [first, last), in
/// order, `channels` channels from `channel` on, after t; 0 outside the image.
inline void load_patches(const RowFunctions& rows, const PatchSource& source, const Axis& h, const Axis& w,
                         int64_t image, Range pixels, Range taps, int64_t channel, int64_t channels, float* to) {
  const int64_t ld = (taps.end - taps.begin) * channels;
  const RowTransform t = source.t.from_channel(channel);
  const auto clear = [&](float* at, int64_t n) {
    for (int64_t p = 0; p < n; ++p) std::fill(at + p * ld, at + p * ld + channels, 0.0f);
  };
  for_row_segments(pixels, w.count, [&](int64_t i, int64_t j, int64_t n, int64_t at) {
    for (int64_t tap = taps.begin; tap < taps.end; ++tap) {
      float* segment = to + at * ld + (tap - taps.begin) * channels;
      const int64_t y = i * h.in_step + h.offset[tap / w.taps], offset = w.offset[tap % w.taps];
      // Columns b to e of the segment lie inside the image: 0 <= (j + b) * in_step + offset < width.
      const auto first_at_least = [&](int64_t x) {
        return std::clamp<int64_t>((x - offset <= 0 ? 0 : ceil_div(x - offset, w.in_step)) - j, 0, n);
      };
      const bool inside = y >= 0 && y < h.in;
      const int64_t b = inside ? first_at_least(0) : n, e = inside ? first_at_least(w.in) : n;
      clear(segment, b);
      if (b < e) {
        const int64_t pixel = (image * h.in + y) * w.in + (j + b) * w.in_step + offset;
        rows.load(source.data + pixel * source.ld + channel, source.ld * w.in_step, e - b, channels, t,
                  segment + b * ld, ld, false);
      }
      clear(segment + e * ld, n - e);
    }
  });
}

}  // namespace mixop::kernels
