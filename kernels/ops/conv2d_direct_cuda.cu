// Convolutions by their definition, for whatever the faster kernels do not take: one output element a thread, or a
// block where the sum runs over all pixels.
#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/conv2d_impls_cuda.h"

namespace mixop::kernels {
namespace {

using cuda::DeviceLoader;

constexpr int kBlock = 128;

/// Shapes of x [images, x_extent, cg * groups], of y [images, y_extent, kg * groups] and the filter between them.
struct Geometry {
  int64_t images, cg, kg, groups, x_ld, y_ld;
  int x_extent[2], y_extent[2], kernel[2], stride[2], pad[2], dilation[2];

  __device__ int64_t x_pixels() const { return images * x_extent[0] * x_extent[1]; }
  __device__ int64_t y_pixels() const { return images * y_extent[0] * y_extent[1]; }
  /// Input position that filter element r shows output position o; may lie outside.
  __device__ int input_at(int axis, int o, int r) const {
    return o * stride[axis] - pad[axis] + r * dilation[axis];
  }
  /// Output position that filter element r connects with input position i, or -1.
  __device__ int output_at(int axis, int i, int r) const {
    const int at = i + pad[axis] - r * dilation[axis];
    return at < 0 || at % stride[axis] != 0 || at / stride[axis] >= y_extent[axis] ? -1 : at / stride[axis];
  }
};

Geometry geometry_of(const Conv2dAttrs& a, const View& x, const View& y) {
  Geometry g{x.shape[0], x.last() / a.groups, y.last() / a.groups, a.groups, x.ld, y.ld, {}, {}, {}, {}, {}, {}};
  for (int i = 0; i < 2; ++i) {
    g.x_extent[i] = static_cast<int>(x.shape[i + 1]);
    g.y_extent[i] = static_cast<int>(y.shape[i + 1]);
    g.kernel[i] = a.kernel[i], g.stride[i] = a.stride[i];
    g.pad[i] = a.pad_begin[i], g.dilation[i] = a.dilation[i];
  }
  return g;
}

/// y[p,k] = sum_{r,s,c} t(x[.,c]) w[r,s,c,k]; a thread owns an element of y.
__global__ void conv2d_direct_kernel(Geometry g, const float* x, const float* w, DeviceLoader t, float* y) {
  cuda::wait_for_earlier();
  const int64_t k_all = g.kg * g.groups, count = g.y_pixels() * k_all;
  for (int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x; i < count; i += int64_t{gridDim.x} * kBlock) {
    const int64_t p = i / k_all, k = i % k_all, first = k / g.kg * g.cg;
    const int ow = static_cast<int>(p % g.y_extent[1]), oh = static_cast<int>(p / g.y_extent[1] % g.y_extent[0]);
    const int64_t image = p / g.y_extent[1] / g.y_extent[0];
    float sum = 0;
    for (int r = 0; r < g.kernel[0]; ++r) {
      const int ih = g.input_at(0, oh, r);
      if (ih < 0 || ih >= g.x_extent[0]) continue;
      for (int s = 0; s < g.kernel[1]; ++s) {
        const int iw = g.input_at(1, ow, s);
        if (iw < 0 || iw >= g.x_extent[1]) continue;
        const float* from = x + ((image * g.x_extent[0] + ih) * g.x_extent[1] + iw) * g.x_ld + first;
        const float* wc = w + (int64_t{r} * g.kernel[1] + s) * g.cg * k_all + k;
        for (int64_t c = 0; c < g.cg; ++c) sum = fmaf(t(from[c], static_cast<int>(first + c)), wc[c * k_all], sum);
      }
    }
    y[p * g.y_ld + k] = sum;
  }
}

/// dx[p,c] = [t(x0) > 0] sum_{r,s,k} dy[.,k] w[r,s,c,k]; a thread owns an element of dx.
__global__ void conv2d_dgrad_direct_kernel(Geometry g, const float* dy, const float* w, const float* x0,
                                           int64_t x0_ld, DeviceLoader t, bool add, float* dx) {
  cuda::wait_for_earlier();
  const int64_t c_all = g.cg * g.groups, k_all = g.kg * g.groups, count = g.x_pixels() * c_all;
  for (int64_t i = int64_t{blockIdx.x} * kBlock + threadIdx.x; i < count; i += int64_t{gridDim.x} * kBlock) {
    const int64_t p = i / c_all, c = i % c_all, first = c / g.cg * g.kg;
    const int iw = static_cast<int>(p % g.x_extent[1]), ih = static_cast<int>(p / g.x_extent[1] % g.x_extent[0]);
    const int64_t image = p / g.x_extent[1] / g.x_extent[0];
    float sum = 0;
    for (int r = 0; r < g.kernel[0]; ++r) {
      const int oh = g.output_at(0, ih, r);
      if (oh < 0) continue;
      for (int s = 0; s < g.kernel[1]; ++s) {
        const int ow = g.output_at(1, iw, s);
        if (ow < 0) continue;
        const float* from = dy + ((image * g.y_extent[0] + oh) * g.y_extent[1] + ow) * g.y_ld + first;
        const float* wk = w + ((int64_t{r} * g.kernel[1] + s) * g.cg + c % g.cg) * k_all + first;
        for (int64_t k = 0; k < g.kg; ++k) sum = fmaf(from[k], wk[k], sum);
      }
    }
    if (x0 && t(x0[p * x0_ld + c], static_cast<int>(c)) <= 0) sum = 0;
    float& to = dx[p * g.x_ld + c];
    to = add ? to + sum : sum;
  }
}

/// dw[r,s,c,k] = sum over pixels: t(x[.,c]) dy[.,k]; a block owns an element of dw.
__global__ void __launch_bounds__(kBlock)
    conv2d_wgrad_direct_kernel(Geometry g, const float* dy, const float* x, DeviceLoader t, bool add, float* dw) {
  cuda::wait_for_earlier();
  const int64_t k_all = g.kg * g.groups, k = blockIdx.x % k_all, c = k / g.kg * g.cg + blockIdx.x / k_all % g.cg;
  const int rs = static_cast<int>(blockIdx.x / k_all / g.cg), r = rs / g.kernel[1], s = rs % g.kernel[1];
  double sum = 0;  // a thread may add very many products
  for (int64_t p = threadIdx.x; p < g.y_pixels(); p += kBlock) {
    const int ow = static_cast<int>(p % g.y_extent[1]), oh = static_cast<int>(p / g.y_extent[1] % g.y_extent[0]);
    const int64_t image = p / g.y_extent[1] / g.y_extent[0];
    const int ih = g.input_at(0, oh, r), iw = g.input_at(1, ow, s);
    if (ih < 0 || ih >= g.x_extent[0] || iw < 0 || iw >= g.x_extent[1]) continue;
    const float v = t(x[((image * g.x_extent[0] + ih) * g.x_extent[1] + iw) * g.x_ld + c], static_cast<int>(c));
    sum += static_cast<double>(v) * dy[p * g.y_ld + k];
  }
  sum = cuda::block_sum<kBlock>(sum);
  if (threadIdx.x == 0) dw[blockIdx.x] = static_cast<float>(add ? dw[blockIdx.x] + sum : sum);
}

void run_forward(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &x = call.in[0], &w = call.in[1];
  const Out& y = call.out[0];
  cuda::launch_dependent(*call.exec, "conv2d_direct_kernel", conv2d_direct_kernel,
                         cuda::grid_for(y.shape.elements(), kBlock, 1 << 20), dim3(kBlock), 0, geometry_of(a, x, y),
                         x.as<float>(), w.as<float>(), cuda::device_loader(call, a.load, 2), y.as<float>());
}

void run_dgrad(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &dy = call.in[0], &w = call.in[1], x0 = a.mask ? call.in[2] : View();
  const Out& dx = call.out[0];
  OnLoad norm = a.mask ? a.load : OnLoad();
  norm.relu = false;
  cuda::launch_dependent(*call.exec, "conv2d_dgrad_direct_kernel", conv2d_dgrad_direct_kernel,
                         cuda::grid_for(dx.shape.elements(), kBlock, 1 << 20), dim3(kBlock), 0,
                         geometry_of(a, dx, dy), dy.as<float>(), w.as<float>(), x0.as<float>(), x0.ld,
                         cuda::device_loader(call, norm, 3), dx.write == Write::kAdd, dx.as<float>());
}

void run_wgrad(const Call& call) {
  const auto& a = call.attr<Conv2dAttrs>();
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dw = call.out[0];
  cuda::launch_dependent(*call.exec, "conv2d_wgrad_direct_kernel", conv2d_wgrad_direct_kernel,
                         dim3(static_cast<unsigned>(dw.shape.elements())), dim3(kBlock), 0, geometry_of(a, x, dy),
                         dy.as<float>(), x.as<float>(), cuda::device_loader(call, a.load, 2),
                         dw.write == Write::kAdd, dw.as<float>());
}

}  // namespace

constinit const Impl kConv2dDirectCuda = {"direct", all_float32, run_forward};
constinit const Impl kConv2dDgradDirectCuda = {"direct", all_float32, run_dgrad};
constinit const Impl kConv2dWgradDirectCuda = {"direct", all_float32, run_wgrad};

}  // namespace mixop::kernels
