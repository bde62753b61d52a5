// Rows of pixels between tensors and the scratch tiles of convolutions.
#pragma once

#include <algorithm>

#include "kernels/core/on_load.h"
#include "kernels/core/parallel.h"

namespace mixop::kernels {

constexpr int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
constexpr int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

/// The largest width, at most `most`, of rows into which `pixels` can be cut.
inline int64_t row_of_pixels(int64_t pixels, int64_t most) {
  int64_t width = std::min(pixels, most);
  while (pixels % width) --width;
  return width;
}

/// t with its parameters in one table, repeated past C so that vectors read them without masks:
///   t(x) = relu((x - mean) * scale + shift), scale = rstd * gamma, shift = beta.
struct RowTransform {
  const float *mean = nullptr, *scale = nullptr, *shift = nullptr;
  bool norm = false, relu = false;
  bool none() const { return !norm && !relu; }
  RowTransform from_channel(int64_t c) const {
    return norm ? RowTransform{mean + c, scale + c, shift + c, norm, relu} : *this;
  }
};

/// Floats of the table for C channels.
int64_t row_transform_floats(const OnLoad& load, int64_t channels);
/// `at` is the index of mean among the inputs.
RowTransform make_row_transform(const Call& call, const OnLoad& load, size_t at, int64_t channels, float* table);

struct RowFunctions {
  /// to[i * ld_to + c] = t(from[i * ld + c]) for i < rows, c < channels. With `whole`, lanes past the channels up
  /// to a whole vector are written too, with anything: ld_to leaves room for them, or the next row, which is
  /// written later, overlaps them.
  void (*load)(const float* from, int64_t ld, int64_t rows, int64_t channels, const RowTransform& t, float* to,
               int64_t ld_to, bool whole);
  /// to[i * ld_to + c] = or += from[i * ld + c], and 0 in place of `from` where a mask is given and t(mask) <= 0.
  void (*store)(const float* from, int64_t ld, int64_t rows, int64_t channels, float* to, int64_t ld_to, bool add,
                const float* mask, int64_t ld_mask, const RowTransform& t);
};
/// The functions for this machine's vectors.
RowFunctions row_functions();

/// Where a data gradient may not pass: t(data) <= 0.
struct MaskRows {
  const float* data = nullptr;  ///< null: everything passes
  int64_t ld = 0;
  RowTransform t;
};
/// dw = or += the sum of `parts` partials of `size` floats each, in order.
void merge_partials(const Exec& exec, const float* partials, int64_t parts, int64_t size, float* dw, Write write);

}  // namespace mixop::kernels
