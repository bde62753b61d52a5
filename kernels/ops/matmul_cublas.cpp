// Matrix products by cuBLAS.
#include <algorithm>

#include "kernels/core/cuda/cublas.h"
#include "kernels/ops/matmul_impls.h"

namespace mixop::kernels {
namespace {

struct Extents {
  int64_t m, n, k;
};

Extents extents(const Call& call) {
  const auto& attrs = call.attr<MatmulAttrs>();
  const Shape &a = call.in[0].shape, &y = call.out[0].shape;
  return {y[0], y[1], attrs.transpose_a ? a[0] : a[1]};
}

bool accepts(const Call& call) {
  const auto ordered = [](const View& v) { return v.ld >= v.last() && v.last() > 0 && v.rows() > 0; };
  return all_float32(call) && ordered(call.in[0]) && ordered(call.in[1]) && ordered(call.out[0]) &&
         cuda::cublas_available();
}

/// A small product lasts as long as cuBLAS's launch alone takes; the threshold is a guess that no GPU has
/// confirmed.
bool prefers(const Call& call) {
  const auto [m, n, k] = extents(call);
  return std::min({m, n, k}) >= 32 && m * n * k >= int64_t{1} << 24;
}

void run(const Call& call) {
  const auto& attrs = call.attr<MatmulAttrs>();
  const auto [m, n, k] = extents(call);
  const View &a = call.in[0], &b = call.in[1];
  const Out& y = call.out[0];
  cuda::cublas_gemm(*call.exec, m, n, k, {a.as<float>(), a.ld, attrs.transpose_a},
                    {b.as<float>(), b.ld, attrs.transpose_b}, {y.as<float>(), y.ld, y.write == Write::kAdd});
}

size_t workspace(const Call&) { return cuda::kCublasWorkspace; }

}  // namespace

const Impl kMatmulCublas{"cublas", accepts, run, workspace, prefers};

}  // namespace mixop::kernels
