// Matrix products for few channels: one thread, operands that fit the caches, accumulators in registers. Callers
// split the rows over threads.
#pragma once

#include <cstdint>

#include "kernels/core/tensor.h"

namespace mixop::kernels {

/// A(i, p) = data[i * row + p * col]; a transposed matrix has row = 1.
struct GemmA {
  const float* data;
  int64_t row, col;
};

/// B(p, j) in panels of gemm_panel() columns: panel q starts at data + q * panel and its rows lie `row` apart. A
/// row must be readable up to the next multiple of gemm_lanes() columns; what is read there is not used.
struct GemmB {
  const float* data;
  int64_t row, panel;
};

int64_t gemm_lanes();  ///< floats of one vector on this machine
int64_t gemm_panel();  ///< columns of one panel

/// Floats of a packed B of k rows and n columns; proportional to k.
int64_t gemm_packed_floats(int64_t k, int64_t n);
/// Writes rows [first, first + rows) of a packed B of k rows and n columns from
/// src(p, j) = src[p * row_stride + j * col_stride], p counted from `first`.
void gemm_pack(const float* src, int64_t row_stride, int64_t col_stride, int64_t first, int64_t rows, int64_t k,
               int64_t n, float* packed);
/// B as gemm_pack() wrote it.
inline GemmB gemm_packed(const float* packed, int64_t k) {
  const int64_t panel = gemm_panel();
  return {packed, panel, k * panel};
}
/// B as a row-major matrix whose rows lie ld apart.
inline GemmB gemm_row_major(const float* b, int64_t ld) { return {b, ld, gemm_panel()}; }

/// c[i * ldc + j] = or += sum_p A(i, p) B(p, j) for i < m, j < n, p < k; p in ascending order.
void gemm(int64_t m, int64_t n, int64_t k, GemmA a, GemmB b, float* c, int64_t ldc, Write write);

}  // namespace mixop::kernels
