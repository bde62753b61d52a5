#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/vec.cuh"
#include "kernels/ops/concat.h"

namespace mixop::kernels {
namespace {
using cuda::add4;
using cuda::load4;
using cuda::store4;

constexpr int kBlock = 256;

/// Where a part lies in a whole: in runs of `step` rows, the first at row `first`, from one run to the next
/// `stride` rows; from column `column` on.
struct Place {
  int64_t step, stride, first, column;

  __host__ __device__ int64_t row(int64_t part_row) const {
    return part_row / step * stride + part_row % step + first;
  }
};

Place place_of(const Shape& whole, const Shape& part, int axis, int64_t begin) {
  if (axis == whole.rank() - 1) return {1, 1, 0, begin};
  int64_t between = 1;  // rows from one step along the axis to the next
  for (int k = axis + 1; k < whole.rank() - 1; ++k) between *= whole[k];
  return {part[axis] * between, whole[axis] * between, begin * between, 0};
}

/// The part's rows, and what is copied: into the part or out of it.
struct Copy {
  const float* from;
  float* to;
  int64_t ld_from, ld_to, rows, last;
  Place place;
};

// to (+)= from. A thread owns kWidth neighbouring elements of the part at a time.
template <int kWidth, bool kIntoWhole, bool kAdd>
__global__ void copy_part(Copy m) {
  cuda::wait_for_earlier();
  const int64_t columns = m.last / kWidth, items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += threads) {
    const int64_t r = i / columns, c = (i - r * columns) * kWidth;
    const int64_t whole_row = m.place.row(r), whole_column = c + m.place.column;
    const float* from = m.from + (kIntoWhole ? r * m.ld_from + c : whole_row * m.ld_from + whole_column);
    float* to = m.to + (kIntoWhole ? whole_row * m.ld_to + whole_column : r * m.ld_to + c);
    if constexpr (kWidth == 4) store4(to, kAdd ? add4(load4(to), load4(from)) : load4(from));
    else *to = kAdd ? *to + *from : *from;
  }
}

// dx = dy in its place, 0 elsewhere. A thread owns kWidth neighbouring elements of dx at a time; rows and last are
// those of dx, part_last that of dy.
template <int kWidth>
__global__ void spread_part(Copy m, int64_t part_last) {
  cuda::wait_for_earlier();
  const int64_t columns = m.last / kWidth, items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += threads) {
    const int64_t r = i / columns, c = (i - r * columns) * kWidth;
    const int64_t run = r / m.place.stride, at = r % m.place.stride - m.place.first, column = c - m.place.column;
    const bool inside = at >= 0 && at < m.place.step && column >= 0 && column < part_last;
    const int64_t from = (run * m.place.step + at) * m.ld_from + column;
    float* to = m.to + r * m.ld_to + c;
    if constexpr (kWidth == 4) store4(to, inside ? load4(m.from + from) : make_float4(0, 0, 0, 0));
    else *to = inside ? m.from[from] : 0.0f;
  }
}

/// Four elements at a time stay in one row and on 16 bytes, in the part and in the whole.
bool aligned(const Copy& m, int64_t part_last) {
  return cuda::aligned4(m.from, m.ld_from, part_last) && cuda::aligned4(m.to, m.ld_to, m.last) &&
         m.place.column % 4 == 0;
}

dim3 grid_of(const Copy& m, int width) { return cuda::grid_for(m.rows * m.last / width, kBlock); }

template <bool kIntoWhole, bool kAdd>
void launch_copy(const Call& call, const Copy& m) {
  if (aligned(m, m.last)) {
    cuda::launch_dependent(*call.exec, "copy_part", copy_part<4, kIntoWhole, kAdd>, grid_of(m, 4), kBlock, 0, m);
  } else {
    cuda::launch_dependent(*call.exec, "copy_part", copy_part<1, kIntoWhole, kAdd>, grid_of(m, 1), kBlock, 0, m);
  }
}

void run_concat_axis(const Call& call) {
  const Out& y = call.out[0];
  const int axis = call.attr<ConcatAttrs>().axis;
  int64_t begin = 0;
  for (const View& x : call.in) {
    launch_copy<true, false>(call, {x.as<float>(), y.as<float>(), x.ld, y.ld, x.rows(), x.last(),
                                    place_of(y.shape, x.shape, axis, begin)});
    begin += x.shape[axis];
  }
}

void run_slice_axis(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const auto& attrs = call.attr<SliceAxisAttrs>();
  const Copy m{x.as<float>(),
               y.as<float>(),
               x.ld,
               y.ld,
               y.rows(),
               y.last(),
               place_of(x.shape, y.shape, attrs.axis, attrs.begin)};
  if (y.write == Write::kAdd) launch_copy<false, true>(call, m);
  else launch_copy<false, false>(call, m);
}

void run_slice_grad(const Call& call) {
  const View& dy = call.in[0];
  const Out& dx = call.out[0];
  const auto& attrs = call.attr<SliceGradAttrs>();
  const Place place = place_of(dx.shape, dy.shape, attrs.axis, attrs.begin);
  Copy m{dy.as<float>(), dx.as<float>(), dy.ld, dx.ld, dy.rows(), dy.last(), place};
  if (dx.write == Write::kAdd) return launch_copy<true, true>(call, m);
  m.rows = dx.rows();
  m.last = dx.last();
  if (aligned(m, dy.last())) {
    cuda::launch_dependent(*call.exec, "spread_part", spread_part<4>, grid_of(m, 4), kBlock, 0, m, dy.last());
  } else {
    cuda::launch_dependent(*call.exec, "spread_part", spread_part<1>, grid_of(m, 1), kBlock, 0, m, dy.last());
  }
}

constexpr Impl kConcatAxis[] = {{"parts", all_float32, run_concat_axis}};
constexpr Impl kSliceAxis[] = {{"part", all_float32, run_slice_axis}};
constexpr Impl kSliceGrad[] = {{"part", all_float32, run_slice_grad}};
}  // namespace

std::span<const Impl> concat_axis_cuda() { return kConcatAxis; }
std::span<const Impl> slice_axis_cuda() { return kSliceAxis; }
std::span<const Impl> slice_grad_cuda() { return kSliceGrad; }
}  // namespace mixop::kernels
