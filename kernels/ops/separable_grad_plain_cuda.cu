// separable_grad for any window, channels and alignment: unit by unit through dY, y and dx in the workspace.
#include <algorithm>

#include "kernels/core/cuda/reduce.cuh"
#include "kernels/ops/separable_grad_units.cuh"

namespace mixop::kernels {
namespace {

constexpr int kThreads = 256;

struct Scratch {
  float *dy, *y;  ///< [N,H',W',C]; y only where weight gradients are wanted
  float* dx;      ///< [N,H,W,C]: the sum over the units of a group
  int before;     ///< units of the group that come before this one
};

/// Element t of the filter; without a depthwise half the one element is 1.
__device__ __forceinline__ float filter_of(const SeparableGradArgs& u, int t, int c) {
  return u.depthwise ? u.w_dw[int64_t{t} * u.channels + c] : 1.0f;
}

/// t(x) of element c where the filter element in row r and column s shows it to output (oh, ow), or 0.
__device__ __forceinline__ float shown(const SeparableGradArgs& u, int64_t image, int64_t oh, int64_t ow, int r,
                                       int s, int c) {
  const int64_t ih = oh * u.stride - u.pad + int64_t{r} * u.dilation;
  const int64_t iw = ow * u.stride - u.pad + int64_t{s} * u.dilation;
  if (ih < 0 || ih >= u.height || iw < 0 || iw >= u.width) return 0;
  return u.load(u.x.load(((image * u.height + ih) * u.width + iw) * u.x_ld + c), c);
}

/// dY = dz w_pw^T and y = depthwise(t(x)): a thread owns elements.
__global__ void separable_grad_plain_dy(const SeparableGradArgs u, const Scratch to) {
  cuda::wait_for_earlier();
  if (!u.is_active()) return;
  const int64_t elements = u.out_rows() * u.channels, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < elements; e += step) {
    const int c = static_cast<int>(e % u.channels);
    const int64_t pixel = e / u.channels, ow = pixel % u.out_width, oh = pixel / u.out_width % u.out_height;
    const int64_t image = pixel / u.out_width / u.out_height;
    const float factor = u.factor_of(image);
    float sum = 0;
    for (int k = 0; k < u.k; ++k)
      sum = fmaf(NormGradient(u, k)(factor * u.dy.load(pixel * u.dy_ld + k), u.z.load(pixel * u.z_ld + k)),
                 u.w_pw[int64_t{c} * u.k + k], sum);
    to.dy[e] = sum;
    if (!to.y) continue;
    float y = 0;
    for (int t = 0; t < u.kernel * u.kernel; ++t)
      y = fmaf(shown(u, image, oh, ow, t / u.kernel, t % u.kernel, c), filter_of(u, t, c), y);
    to.y[e] = y;
  }
}

/// dx = or += depthwise^T(dY), not masked yet: a thread owns elements.
__global__ void separable_grad_plain_dx(const SeparableGradArgs u, const Scratch s) {
  cuda::wait_for_earlier();
  const bool active = u.is_active(), add = s.before > 0;
  if (!active && add) return;
  const int64_t elements = u.rows() * u.channels, step = int64_t{gridDim.x} * blockDim.x;
  for (int64_t e = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; e < elements; e += step) {
    const int c = static_cast<int>(e % u.channels);
    const int64_t pixel = e / u.channels, image = pixel / u.width / u.height;
    float sum = add ? s.dx[e] : 0.0f;
    for (int t = 0; active && t < u.kernel * u.kernel; ++t) {
      const int64_t h = pixel / u.width % u.height + u.pad - int64_t{t} / u.kernel * u.dilation;
      const int64_t w = pixel % u.width + u.pad - int64_t{t} % u.kernel * u.dilation;
      if (h < 0 || w < 0 || h % u.stride != 0 || w % u.stride != 0) continue;
      if (h / u.stride >= u.out_height || w / u.stride >= u.out_width) continue;
      const int64_t from = (image * u.out_height + h / u.stride) * u.out_width + w / u.stride;
      sum = fmaf(s.dy[from * u.channels + c], filter_of(u, t, c), sum);
    }
    s.dx[e] = sum;
  }
}

/// Masks and writes dx of a group and takes its sums: a block owns a channel.
__global__ void __launch_bounds__(kThreads)
    separable_grad_plain_finish(const SeparableGradArgs u, const Scratch s) {
  cuda::wait_for_earlier();
  const int c = static_cast<int>(blockIdx.x);
  bool any = !u.active;  // of the group's units is active: else nothing is read for dx
  for (int i = 0; !any && i <= s.before; ++i) any = u.active[-i] != 0;
  double s1 = 0, s2 = 0;
  for (int64_t p = threadIdx.x; p < u.rows(); p += kThreads) {
    const float x = any && (u.load.relu || u.dx_s1) ? u.x.load(p * u.x_ld + c) : 0.0f;
    const float v = any && !(u.load.relu && u.load(x, c) <= 0) ? s.dx[p * u.channels + c] : 0.0f;
    const int64_t to = p * u.dx_ld + c;
    u.dx.store(to, u.add ? u.dx.load(to) + v : v);
    if (!u.dx_s1 || !any) continue;
    s1 += v;
    s2 += static_cast<double>(v) * (x - u.load.mean[c]);
  }
  if (!u.dx_s1) return;
  s1 = cuda::block_sum<kThreads>(s1);
  s2 = cuda::block_sum<kThreads>(s2);
  if (threadIdx.x != 0) return;
  u.dx_s1[c] = static_cast<float>(s1);
  u.dx_s2[c] = any ? static_cast<float>(s2 * u.load.rstd[c]) : 0.0f;
}

/// dw_dw and then dw_pw: a block owns an element.
__global__ void __launch_bounds__(kThreads)
    separable_grad_plain_weights(const SeparableGradArgs u, const Scratch s) {
  cuda::wait_for_earlier();
  const int64_t taps = int64_t{u.taps()} * u.channels, e = blockIdx.x;
  if (!u.is_active()) {
    if (threadIdx.x == 0) (e < taps ? u.dw_dw[e] : u.dw_pw[e - taps]) = 0;
    return;
  }
  double sum = 0;
  if (e < taps) {
    const int c = static_cast<int>(e % u.channels), t = static_cast<int>(e / u.channels);
    for (int64_t p = threadIdx.x; p < u.out_rows(); p += kThreads) {
      const int64_t line = p / u.out_width;
      sum += static_cast<double>(s.dy[p * u.channels + c]) *
             shown(u, line / u.out_height, line % u.out_height, p % u.out_width, t / u.kernel, t % u.kernel, c);
    }
  } else {
    const int c = static_cast<int>((e - taps) / u.k), k = static_cast<int>((e - taps) % u.k);
    const NormGradient dz(u, k);
    for (int64_t p = threadIdx.x; p < u.out_rows(); p += kThreads) {
      const float dy = u.factor_of(p / u.out_width / u.out_height) * u.dy.load(p * u.dy_ld + k);
      sum += static_cast<double>(s.y[p * u.channels + c]) * dz(dy, u.z.load(p * u.z_ld + k));
    }
  }
  sum = cuda::block_sum<kThreads>(sum);
  if (threadIdx.x == 0) (e < taps ? u.dw_dw[e] : u.dw_pw[e - taps]) = static_cast<float>(sum);
}

/// Elements of the largest dY and dx.
struct Largest {
  int64_t dy = 0, dx = 0;
  explicit Largest(const Call& call) {
    for (size_t i = 0; i < call.attr<SeparableGradAttrs>().units.size(); ++i) {
      const SeparableGradOperands o = separable_grad_operands(call, i);
      dy = std::max(dy, o.z->rows() * o.x->last());
      dx = std::max(dx, o.x->shape.elements());
    }
  }
};

}  // namespace

size_t separable_grad_plain_bytes(const Call& call) {
  const Largest n(call);
  return sizeof(float) * static_cast<size_t>(2 * n.dy + n.dx);
}

void separable_grad_plain(const Call& call, const std::vector<SeparableGradPlain>& wanted) {
  const auto& a = call.attr<SeparableGradAttrs>();
  const Largest n(call);
  const Exec& exec = *call.exec;
  float* const scratch = exec.scratch<float>();
  for (size_t i = 0, first = 0; i < a.units.size(); ++i) {
    if (!a.units[i].same_input) first = i;
    const auto [dx, dw] = wanted[i];
    if (!dx && !dw) continue;
    const SeparableGradArgs u = separable_grad_args(call, i);
    const Scratch s{scratch, dw ? scratch + n.dy : nullptr, scratch + 2 * n.dy, static_cast<int>(i - first)};
    cuda::launch_dependent(exec, "separable_grad_plain_dy", separable_grad_plain_dy,
                           cuda::grid_for(u.out_rows() * u.channels, kThreads), dim3(kThreads), 0, u, s);
    if (dx)
      cuda::launch_dependent(exec, "separable_grad_plain_dx", separable_grad_plain_dx,
                             cuda::grid_for(u.rows() * u.channels, kThreads), dim3(kThreads), 0, u, s);
    if (dw)
      cuda::launch_dependent(exec, "separable_grad_plain_weights", separable_grad_plain_weights,
                             dim3(static_cast<unsigned>(u.channels * (u.taps() + u.k))), dim3(kThreads), 0, u, s);
    if (dx && (i + 1 == a.units.size() || !a.units[i + 1].same_input))
      cuda::launch_dependent(exec, "separable_grad_plain_finish", separable_grad_plain_finish,
                             dim3(static_cast<unsigned>(u.channels)), dim3(kThreads), 0, u, s);
  }
}

}  // namespace mixop::kernels
