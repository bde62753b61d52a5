#pragma once

#include "kernels/core/parallel.h"
#include "kernels/ops/matmul.h"

namespace mixop::kernels {

/// An operand of a product as a matrix: element (i, p) = data[i * row + p * column].
template <class T>
struct Matrix {
  const T* data;
  int64_t row, column, rows, columns;
  Matrix(const View& v, bool transpose)
      : data(v.as<T>()), row(v.ld), column(1), rows(v.shape[0]), columns(v.shape[1]) {
    if (transpose) std::swap(row, column), std::swap(rows, columns);
  }
};

template <class T>
void matmul_ref(const Call& call) {
  const auto& attrs = call.attr<MatmulAttrs>();
  const Matrix<T> a(call.in[0], attrs.transpose_a), b(call.in[1], attrs.transpose_b);
  const Out& y = call.out[0];
  parallel_for(*call.exec, a.rows, [&](int64_t i, int) {
    for (int64_t j = 0; j < b.columns; ++j) {
      T sum = 0;
      for (int64_t p = 0; p < a.columns; ++p) {
        sum += a.data[i * a.row + p * a.column] * b.data[p * b.row + j * b.column];
      }
      T& to = y.as<T>()[i * y.ld + j];
      to = y.write == Write::kAdd ? to + sum : sum;
    }
  });
}

}  // namespace mixop::kernels
