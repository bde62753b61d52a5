// The 1x1 convolution of `separable`, per instruction set: a product that also sums what it writes.
#pragma once

#include <cstdint>

namespace mixop::kernels {

/// Some columns of a row-major matrix: element (i, p) is data[i * row + p], p < columns.
struct ColumnRange {
  const float* data;
  int64_t row, columns;
};

/// Sums per column of z relative to a centre, each padded to whole vectors:
///   sum += z - centre, squares += (z - centre)^2.
struct ColumnSums {
  float *centre, *sum, *squares;  ///< null: none
  bool set_centre;                ///< first make the centre the mean of the first few rows
};

/// z[i * ldz + j] = sum_p y(i, p) w(p, j) for i < rows, j < columns; the columns of y lie in two ranges.
struct PointwiseRows {
  int64_t rows, columns;
  ColumnRange y[2];
  const float* w;  ///< as pack() wrote it
  float* z;
  int64_t ldz;
  bool stream;  ///< z, see core/stream.h
  ColumnSums sums;
};

struct PointwiseFunctions {
  /// w[p * columns + j] in panels of one to three vectors of columns, padded with zeros to whole vectors.
  void (*pack)(const float* w, int64_t channels, int64_t columns, float* packed);
  void (*run)(const PointwiseRows&);
};
/// The functions for this machine's vectors of gemm_lanes() floats.
PointwiseFunctions pointwise_functions();

}  // namespace mixop::kernels
