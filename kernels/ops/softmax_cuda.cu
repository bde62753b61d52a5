#include "kernels/ops/softmax.h"

#include "kernels/core/cuda/row_groups.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// Where the elements along an axis lie: element k of lane i at data[start(i) + k * stride]. Lanes count in
/// row-major order of the other axes, as outer, inner and column.
struct AxisLanes {
  float* data;
  int64_t columns, inner, outer_step, inner_step, stride;
  __device__ __forceinline__ float* start(int64_t i) const {
    if (columns == 1 && inner == 1) return data + i * outer_step;
    const int64_t row = i / columns, outer = row / inner;
    return data + outer * outer_step + (row - outer * inner) * inner_step + (i - row * columns);
  }
};

AxisLanes lanes_of(const View& v, int axis) {
  const int last = v.shape.rank() - 1;
  if (axis == last) return {v.as<float>(), 1, 1, v.ld, 0, 1};
  int64_t inner = 1;
  for (int k = axis + 1; k < last; ++k) inner *= v.shape[k];
  return {v.as<float>(), v.last(), inner, v.shape[axis] * inner * v.ld, v.ld, inner * v.ld};
}

/// y = exp(x) / sum exp(x), or its logarithm; a group of threads owns a lane.
template <class G, bool kLog>
__global__ void softmax_lanes(AxisLanes from, AxisLanes to, int64_t lanes, int64_t n) {
  wait_for_earlier();
  const int64_t i = G::row();
  if (i >= lanes) return;
  const float* x = from.start(i);
  float* y = to.start(i);
  const ExpSum e = exp_sum<G>(n, [&](int64_t k) { return x[k * from.stride]; });
  const auto sum = static_cast<float>(kLog ? log(e.sum) : e.sum);
  for (int64_t k = G::rank(); k < n; k += G::kSize) {
    const float d = x[k * from.stride] - e.top;
    y[k * to.stride] = kLog ? d - sum : expf(d) / sum;
  }
}

/// dx (+)= y (dy - sum(dy y)), or dy - exp(y) sum(dy) for the logarithm; a group of threads owns a lane.
template <class G, bool kLog>
__global__ void softmax_grad_lanes(AxisLanes upstream, AxisLanes result, AxisLanes to, int64_t lanes, int64_t n,
                                   bool add) {
  wait_for_earlier();
  const int64_t i = G::row();
  if (i >= lanes) return;
  const float *dy = upstream.start(i), *y = result.start(i);
  float* dx = to.start(i);
  double sum = 0;
  for (int64_t k = G::rank(); k < n; k += G::kSize) {
    const auto g = static_cast<double>(dy[k * upstream.stride]);
    sum += kLog ? g : g * static_cast<double>(y[k * result.stride]);
  }
  const auto s = static_cast<float>(G::sum(sum));
  for (int64_t k = G::rank(); k < n; k += G::kSize) {
    const float g = dy[k * upstream.stride], v = y[k * result.stride];
    const float d = kLog ? g - expf(v) * s : v * (g - s);
    float& out = dx[k * to.stride];
    out = add ? out + d : d;
  }
}

/// Calls f with the group for a lane of n elements: a block for long ones, a warp where a lane is contiguous, else
/// one thread, so that neighbouring threads read neighbouring columns.
template <class F>
void with_group(int64_t n, bool contiguous, F&& f) {
  if (n > 1024) f(Group<kGroupBlock>());
  else if (contiguous) f(Group<kWarp>());
  else f(Group<1>());
}

template <bool kLog>
void run(const Call& call) {
  const int axis = call.attr<SoftmaxAttrs>().axis;
  const AxisLanes x = lanes_of(call.in[0], axis), y = lanes_of(call.out[0], axis);
  const int64_t n = call.in[0].shape[axis], lanes = call.in[0].shape.elements() / n;
  with_group(n, axis == call.in[0].shape.rank() - 1, [&]<class G>(G) {
    launch_dependent(*call.exec, "softmax_lanes", softmax_lanes<G, kLog>, grid_for(lanes, G::kPerBlock, INT32_MAX),
                     dim3(kGroupBlock), 0, x, y, lanes, n);
  });
}

template <bool kLog>
void run_grad(const Call& call) {
  const int axis = call.attr<SoftmaxAttrs>().axis;
  const AxisLanes dy = lanes_of(call.in[0], axis), y = lanes_of(call.in[1], axis), dx = lanes_of(call.out[0], axis);
  const int64_t n = call.in[0].shape[axis], lanes = call.in[0].shape.elements() / n;
  with_group(n, axis == call.in[0].shape.rank() - 1, [&]<class G>(G) {
    launch_dependent(*call.exec, "softmax_grad_lanes", softmax_grad_lanes<G, kLog>,
                     grid_for(lanes, G::kPerBlock, INT32_MAX), dim3(kGroupBlock), 0, dy, y, dx, lanes, n,
                     call.out[0].write == Write::kAdd);
  });
}

constexpr Impl kSoftmax[] = {{"lanes", all_float32, run<false>}};
constexpr Impl kSoftmaxGrad[] = {{"lanes", all_float32, run_grad<false>}};
constexpr Impl kLogSoftmax[] = {{"lanes", all_float32, run<true>}};
constexpr Impl kLogSoftmaxGrad[] = {{"lanes", all_float32, run_grad<true>}};
}  // namespace

std::span<const Impl> softmax_cuda() { return kSoftmax; }
std::span<const Impl> softmax_grad_cuda() { return kSoftmaxGrad; }
std::span<const Impl> log_softmax_cuda() { return kLogSoftmax; }
std::span<const Impl> log_softmax_grad_cuda() { return kLogSoftmaxGrad; }
}  // namespace mixop::kernels
