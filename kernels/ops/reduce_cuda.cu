#include "kernels/ops/reduce.h"

#include "kernels/core/cuda/reduce_axes.cuh"
#include "kernels/core/cuda/rows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

Reduction reduction_of(const View& x, const ReduceAttrs& attrs) {
  return cuda::reduction_of(x, [&](int k) { return attrs.axes[static_cast<size_t>(k)]; });
}

void run_reduce(const Call& call) {
  const auto& attrs = call.attr<ReduceAttrs>();
  const View& x = call.in[0];
  const Reduction r = reduction_of(x, attrs);
  ReduceSink sink{elements_of(call.out[0])};
  if (attrs.kind == Reduce::kMax) return start_reduce(*call.exec, MaxOf(), x, r, sink);
  if (attrs.kind == Reduce::kMean) sink.scale = 1 / static_cast<double>(r.count);
  start_reduce(*call.exec, SumOf(), x, r, sink);
}
size_t reduce_workspace(const Call& call) {
  return reduce_bytes(reduction_of(call.in[0], call.attr<ReduceAttrs>()));
}

/// The output to which element (row, column) of x belongs is outer.offset(row) + column * step.
struct OutputOf {
  Axes outer;
  int64_t step = 0;
};

OutputOf output_of(const View& x, const ReduceAttrs& attrs) {
  const int rank = x.shape.rank();
  std::array<int64_t, kMaxRank> step{};
  int64_t outputs = 1;
  for (int k = rank - 1; k >= 0; --k) {
    if (attrs.axes[static_cast<size_t>(k)]) continue;
    step[k] = outputs;
    outputs *= x.shape[k];
  }
  OutputOf to;
  for (int k = 0; k < rank - 1; ++k) to.outer.push(x.shape[k], step[k]);
  to.step = step[rank - 1];
  return to;
}

/// dx (+)= dy share; a thread owns one column of some rows.
__global__ void reduce_grad_rows(Elements dy, OutputOf output, float share, Rows dx, Extent e, bool add) {
  wait_for_earlier();
  for_elements<1>(e, [&](int64_t r, int64_t c) {
    const float g = dy[output.outer.offset(r) + c * output.step] * share;
    float& out = dx.data[r * dx.ld + c];
    out = add ? out + g : g;
  });
}

/// dx (+)= dy / ties where x equals its maximum y, else 0; a thread owns one column of some rows. Where y is NaN
/// there are no ties and dx is NaN.
__global__ void reduce_max_grad_rows(Elements dy, OutputOf output, Rows x, Elements y, const float* ties, Rows dx,
                                     Extent e, bool add) {
  wait_for_earlier();
  for_elements<1>(e, [&](int64_t r, int64_t c) {
    const int64_t o = output.outer.offset(r) + c * output.step;
    const float tie = x.data[r * x.ld + c] == y[o] ? 1 : 0;
    const float g = dy[o] * tie / ties[o];
    float& out = dx.data[r * dx.ld + c];
    out = add ? out + g : g;
  });
}

size_t ties_bytes(const Reduction& r) { return (static_cast<size_t>(r.outputs) * sizeof(float) + 63) / 64 * 64; }

void run_reduce_grad(const Call& call) {
  const ReduceAttrs& attrs = call.attr<ReduceGradAttrs>().reduce;
  const Out& dx = call.out[0];
  const bool add = dx.write == Write::kAdd;
  const Elements dy = elements_of(call.in[0]);
  const Reduction r = reduction_of(dx, attrs);
  const OutputOf output = output_of(dx, attrs);
  const Extent e = {dx.rows(), dx.last()};
  const Rows to = {dx.as<float>(), dx.ld};
  const auto [grid, block] = rows_grid(e, 1);
  if (attrs.kind != Reduce::kMax) {
    const float share = attrs.kind == Reduce::kMean ? 1 / static_cast<float>(r.count) : 1;
    return launch_dependent(*call.exec, "reduce_grad_rows", reduce_grad_rows, grid, block, 0, dy, output, share, to,
                            e, add);
  }
  const View& x = call.in[1];
  const Elements y = elements_of(call.in[2]);
  auto* ties = call.exec->scratch<float>();
  start_reduce(*call.exec, TiesOf{{}, y}, x, reduction_of(x, attrs), ReduceSink{{ties, r.outputs, r.outputs}},
               static_cast<int64_t>(ties_bytes(r)));
  launch_dependent(*call.exec, "reduce_max_grad_rows", reduce_max_grad_rows, grid, block, 0, dy, output,
                   Rows{x.as<float>(), x.ld}, y, ties, to, e, add);
}
size_t reduce_grad_workspace(const Call& call) {
  const ReduceAttrs& attrs = call.attr<ReduceGradAttrs>().reduce;
  if (attrs.kind != Reduce::kMax) return 0;
  const Reduction r = reduction_of(call.in[1], attrs);
  return ties_bytes(r) + reduce_bytes(r);
}

constexpr Impl kReduce[] = {{"parts", all_float32, run_reduce, reduce_workspace}};
constexpr Impl kReduceGrad[] = {{"rows", all_float32, run_reduce_grad, reduce_grad_workspace}};
}  // namespace

std::span<const Impl> reduce_cuda() { return kReduce; }
std::span<const Impl> reduce_grad_cuda() { return kReduceGrad; }
}  // namespace mixop::kernels
