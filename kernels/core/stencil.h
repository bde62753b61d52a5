// The inner loops of depthwise convolutions, per instruction set.
#pragma once

#include <cstdint>

namespace mixop::kernels {

/// One output row: out[j] = sum_{r, s} row[r][column[s] + j * step] * w[r, s] for `vectors` vectors j, and that for
/// each channel block b, whose inputs and outputs lie b vectors further.
struct StencilRow {
  const float* const* row;  ///< [filter row]
  const int64_t* column;    ///< [filter column]
  int filter_rows, filter_columns;
  /// Neighbouring columns lie this many steps apart; -2: half a step; 0: anything else. Columns whole steps apart
  /// read the same vectors.
  int64_t spacing;
  const float* w;  ///< [block][filter row, filter column][lane]
  int64_t vectors, blocks, step;
  float* out;
  int64_t out_step;
  const float* init = nullptr;  ///< added to the outputs; laid out as they are, in other memory
};

/// Weight gradient of some output rows: acc[r, s] += sum_i sum_j dy[i][j * dy_step] * row[i, r][column[s] + j *
/// step].
struct WgradRows {
  const float* const* row;  ///< [output row][filter row]
  const float* const* dy;   ///< [output row]
  const int64_t* column;    ///< [filter column]
  int filter_rows, filter_columns;
  int64_t spacing;  ///< as in StencilRow
  int64_t rows, vectors, blocks, step, dy_step;
  float* acc;  ///< [block][filter row, filter column][lane]
};

struct StencilFunctions {
  void (*stencil)(const StencilRow&);
  void (*wgrad)(const WgradRows&);
};
/// The functions for this machine's vectors of gemm_lanes() floats.
StencilFunctions stencil_functions();

}  // namespace mixop::kernels
