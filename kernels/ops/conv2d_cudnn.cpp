// Dense convolutions by cuDNN. Its kernels want the filter as [K,R,S,C]: the transpose of our [R,S,C,K] seen as a
// matrix [R S C, K]. It is transposed into scratch memory before, or from there after; filters are small.
#include <algorithm>

#include "kernels/core/cuda/cublas.h"
#include "kernels/core/cuda/cudnn.h"
#include "kernels/core/cuda/library.h"
#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {
namespace {

using cuda::CudnnConv;
using Kind = CudnnConv::Kind;

/// The three operands of any of the three ops: x or dx, w or dw, y or dy.
struct Operands {
  const View &x, &w, &y;
};

Operands operands(Kind kind, const Call& call) {
  const View &first = call.in[0], &second = call.in[1], &out = call.out[0];
  if (kind == Kind::kForward) return {first, second, out};
  if (kind == Kind::kDataGrad) return {out, second, first};
  return {second, out, first};
}

std::array<int64_t, 2> pair(const std::array<int, 2>& a) { return {a[0], a[1]}; }

CudnnConv convolution(Kind kind, const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const Operands o = operands(kind, call);
  CudnnConv c;
  c.kind = kind;
  c.add = kind == Kind::kDataGrad && call.out[0].write == Write::kAdd;  // wgrad adds when it transposes
  c.tf32 = call.exec->tf32;
  std::copy(o.x.shape.begin(), o.x.shape.end(), c.x.begin());
  std::copy(o.y.shape.begin(), o.y.shape.end(), c.y.begin());
  c.x_ld = o.x.ld;
  c.y_ld = o.y.ld;
  c.kernel = pair(a.kernel);
  c.stride = pair(a.stride);
  c.pad_begin = pair(a.pad_begin);
  c.pad_end = pair(a.pad_end);
  c.dilation = pair(a.dilation);
  return c;
}

/// Of one group, without transform or mask, with something to do; whole tensors begin as cudnn_convolve() wants.
bool dense(Kind kind, const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  if (a.groups != 1 || a.mask || (kind != Kind::kDataGrad && !a.load.none()) || !all_float32(call)) return false;
  for (int axis = 0; axis < 2; ++axis)
    if (a.pad_begin[axis] < 0 || a.pad_end[axis] < 0) return false;
  const Operands o = operands(kind, call);
  const auto ordered = [](const View& v) {
    return v.shape.rank() == 4 && v.shape.elements() > 0 && v.ld >= v.last();
  };
  const auto aligned = [](const View& v) { return v.ld != v.last() || v.phase % 16 == 0; };
  return ordered(o.x) && ordered(o.y) && ordered(o.w) && o.w.contiguous() && aligned(o.x) && aligned(o.y);
}

template <Kind kind>
bool accepts(const Call& call) {
  return dense(kind, call) && cuda::cublas_available() && cuda::cudnn_available() &&
         cuda::cudnn_workspace(convolution(kind, call)).has_value();
}

/// Ordinary dense convolutions of whole tensors; 1x1 ones are products, and a network's first layer (3 channels) is
/// left to our own kernels. Without TF32, cuDNN 9's engines copy x and y to [N,C,H,W] and back (it shows in their
/// workspace), which pays with more channels only. These limits are guesses that no GPU has confirmed.
template <Kind kind>
bool prefers(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const Operands o = operands(kind, call);
  const int64_t least = call.exec->tf32 ? 16 * 16 : 64 * 64, c = o.w.shape[2], k = o.w.shape[3];
  return a.kernel[0] * a.kernel[1] > 1 && c >= 8 && c * k >= least && o.x.contiguous() && o.y.contiguous();
}

constexpr size_t aligned(size_t bytes) {
  return (bytes + cuda::kWorkspaceAlignment - 1) / cuda::kWorkspaceAlignment * cuda::kWorkspaceAlignment;
}
size_t filter_bytes(const View& w) { return aligned(static_cast<size_t>(w.shape.elements()) * sizeof(float)); }

/// The transposed filter, then what cuDNN asks for.
template <Kind kind>
size_t workspace(const Call& call) {
  const size_t plan = cuda::cudnn_workspace(convolution(kind, call)).value_or(0);
  return cuda::kWorkspaceAlignment + filter_bytes(operands(kind, call).w) + plan;
}

template <Kind kind>
void run(const Call& call) {
  const Exec& exec = *call.exec;
  const Operands o = operands(kind, call);
  std::byte* const scratch = cuda::align_workspace(exec.workspace);
  float *const filter = reinterpret_cast<float*>(scratch), *const w = o.w.as<float>();
  std::byte* const rest = scratch + filter_bytes(o.w);
  const int64_t k = o.w.last(), rsc = o.w.rows();
  if (kind != Kind::kWeightGrad) cuda::cublas_transpose(exec, rsc, k, w, filter, false);
  cuda::cudnn_convolve(exec, convolution(kind, call), o.x.as<float>(), filter, o.y.as<float>(), rest);
  if (kind == Kind::kWeightGrad) cuda::cublas_transpose(exec, k, rsc, filter, w, call.out[0].write == Write::kAdd);
}

template <Kind kind>
constexpr Impl kCudnn{"cudnn", accepts<kind>, run<kind>, workspace<kind>, prefers<kind>};

}  // namespace

const Impl kConv2dCudnn = kCudnn<Kind::kForward>;
const Impl kConv2dDgradCudnn = kCudnn<Kind::kDataGrad>;
const Impl kConv2dWgradCudnn = kCudnn<Kind::kWeightGrad>;

}  // namespace mixop::kernels
