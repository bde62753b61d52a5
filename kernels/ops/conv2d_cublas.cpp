// Convolutions of 1x1 with stride 1 by cuBLAS: with P = N H W pixels, x is a matrix [P,C], w is [C,K], y is [P,K].
#include "kernels/core/cuda/cublas.h"
#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {
namespace {

constexpr std::array<int, 2> kNone{0, 0}, kOnes{1, 1};

/// Nothing but a product: the three operands of any of the three ops are plain matrices.
bool accepts_dgrad(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  if (a.kernel != kOnes || a.stride != kOnes || a.pad_begin != kNone || a.pad_end != kNone) return false;
  if (a.groups != 1 || a.mask || !all_float32(call)) return false;
  const auto ordered = [](const View& v) { return v.ld >= v.last() && v.last() > 0 && v.rows() > 0; };
  return ordered(call.in[0]) && ordered(call.in[1]) && ordered(call.out[0]) && cuda::cublas_available();
}
bool accepts(const Call& call) { return call.attr<Conv2dAttrs>().load.none() && accepts_dgrad(call); }

/// Our own kernels are made for few channels; from where on cuBLAS is faster is a guess that no GPU has confirmed.
bool many_channels(const Shape& w) { return w[2] >= 128 && w[3] >= 128; }
bool prefers(const Call& call) { return many_channels(call.in[1].shape); }
bool prefers_wgrad(const Call& call) { return many_channels(call.out[0].shape); }

size_t workspace(const Call&) { return cuda::kCublasWorkspace; }

cuda::GemmFactor factor(const View& v, bool transpose = false) { return {v.as<float>(), v.ld, transpose}; }
cuda::GemmResult result(const Out& v) { return {v.as<float>(), v.ld, v.write == Write::kAdd}; }

/// y = x w.
void run(const Call& call) {
  const View &x = call.in[0], &w = call.in[1];
  cuda::cublas_gemm(*call.exec, x.rows(), w.last(), x.last(), factor(x), factor(w), result(call.out[0]));
}

/// dx (+)= dy w^T.
void run_dgrad(const Call& call) {
  const View &dy = call.in[0], &w = call.in[1];
  const Out& dx = call.out[0];
  cuda::cublas_gemm(*call.exec, dx.rows(), dx.last(), dy.last(), factor(dy), factor(w, true), result(dx));
}

/// dw (+)= x^T dy.
void run_wgrad(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dw = call.out[0];
  cuda::cublas_gemm(*call.exec, x.last(), dy.last(), x.rows(), factor(x, true), factor(dy), result(dw));
}

}  // namespace

const Impl kConv2dCublas{"cublas", accepts, run, workspace, prefers};
const Impl kConv2dDgradCublas{"cublas", accepts_dgrad, run_dgrad, workspace, prefers};
const Impl kConv2dWgradCublas{"cublas", accepts, run_wgrad, workspace, prefers_wgrad};

}  // namespace mixop::kernels
