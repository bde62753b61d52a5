// Elementwise kernels over [rows, last]: a thread keeps kLanes neighbouring columns, so that what belongs to a
// channel is read once, and strides over rows.
#pragma once

#include <algorithm>
#include <initializer_list>

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/loader.cuh"
#include "kernels/core/cuda/stored.cuh"

namespace mixop::kernels::cuda {

constexpr int kRowThreads = 256;

struct Extent {
  int64_t rows, last;
};

/// An operand whose rows lie ld floats apart; ld 0 repeats one row.
struct Rows {
  float* data;
  int64_t ld;
};

/// The same of an operand that may be stored as bfloat16.
struct StoredRows : Stored {
  int64_t ld = 0;

  StoredRows() = default;
  explicit StoredRows(const View& v) : Stored(v), ld(v.ld) {}
  StoredRows(const View& v, Extent e) : Stored(v), ld(e.rows == 1 ? e.last : v.ld) {}
};

/// Operands of one shape: a single long row when all are contiguous.
inline Extent flat_extent(std::initializer_list<const View*> views) {
  const View& first = **views.begin();
  const bool flat = std::all_of(views.begin(), views.end(), [](const View* v) { return v->contiguous(); });
  return flat ? Extent{1, first.shape.elements()} : Extent{first.rows(), first.last()};
}

inline Rows rows_of(const View& v, Extent e) { return {v.as<float>(), e.rows == 1 ? e.last : v.ld}; }

/// Every row of every operand can be read 16 bytes at a time.
inline bool all_aligned4(Extent e, std::initializer_list<Rows> operands) {
  return std::all_of(operands.begin(), operands.end(), [&](Rows r) { return aligned4(r.data, r.ld, e.last); });
}

/// Calls f.template operator()<4>() or <1>().
template <class F>
void with_lanes(bool four, F&& f) {
  if (four) f.template operator()<4>();
  else f.template operator()<1>();
}

struct RowsGrid {
  dim3 grid, block;
};

/// x of block and grid covers columns, y rows.
inline RowsGrid rows_grid(Extent e, int lanes, int rows_per_thread = 1) {
  const int64_t columns = ceil_div<int64_t>(e.last, lanes);
  const int64_t x = std::clamp<int64_t>(columns, 1, kRowThreads),
                y = std::clamp<int64_t>(e.rows, 1, kRowThreads / x);
  const int64_t across = std::min<int64_t>(ceil_div(columns, x), 1 << 20);
  const int64_t down = std::min<int64_t>(ceil_div(e.rows, y * rows_per_thread), 65535);
  return {dim3(static_cast<unsigned>(across), static_cast<unsigned>(down)),
          dim3(static_cast<unsigned>(x), static_cast<unsigned>(y))};
}

/// Numbers of kLanes neighbouring columns, read and written together.
template <int kLanes>
struct Lanes {
  float v[kLanes];
};

template <int kLanes, bool kAligned = true>
__device__ __forceinline__ Lanes<kLanes> load_lanes(const float* p) {
  if constexpr (kLanes == 4 && kAligned) {
    const float4 v = load4(p);
    return {{v.x, v.y, v.z, v.w}};
  } else {
    Lanes<kLanes> out;
#pragma unroll
    for (int l = 0; l < kLanes; ++l) out.v[l] = p[l];
    return out;
  }
}

template <int kLanes>
__device__ __forceinline__ void store_lanes(float* p, const Lanes<kLanes>& x) {
  if constexpr (kLanes == 4) store4(p, make_float4(x.v[0], x.v[1], x.v[2], x.v[3]));
  else p[0] = x.v[0];
}

/// Sets or adds.
template <int kLanes>
__device__ __forceinline__ void write_lanes(float* p, Lanes<kLanes> x, bool add) {
  if (add) {
    const Lanes<kLanes> old = load_lanes<kLanes>(p);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) x.v[l] += old.v[l];
  }
  store_lanes(p, x);
}

template <int kLanes>
__device__ __forceinline__ void write_lanes(const Stored& to, int64_t i, Lanes<kLanes> x, bool add) {
  if constexpr (kLanes == 4) {
    const float4 v = make_float4(x.v[0], x.v[1], x.v[2], x.v[3]);
    if (add) to.add4(i, v);
    else to.store4(i, v);
  } else {
    to.store(i, add ? to.load(i) + x.v[0] : x.v[0]);
  }
}

template <int kLanes>
__device__ __forceinline__ int64_t first_column() {
  return (static_cast<int64_t>(blockIdx.x) * blockDim.x + threadIdx.x) * kLanes;
}
template <int kLanes>
__device__ __forceinline__ int64_t column_step() {
  return static_cast<int64_t>(gridDim.x) * blockDim.x * kLanes;
}
__device__ __forceinline__ int64_t first_row() {
  return static_cast<int64_t>(blockIdx.y) * blockDim.y + threadIdx.y;
}
__device__ __forceinline__ int64_t row_step() { return static_cast<int64_t>(gridDim.y) * blockDim.y; }

/// Calls f(row, column) for the thread's share.
template <int kLanes, class F>
__device__ __forceinline__ void for_elements(Extent e, F&& f) {
  for (int64_t c = first_column<kLanes>(); c < e.last; c += column_step<kLanes>())
    for (int64_t r = first_row(); r < e.rows; r += row_step()) f(r, c);
}

/// A transform on load with the constants of a thread's own channels; 0 and 1 without normalisation.
template <int kLanes>
struct OwnTransform {
  Lanes<kLanes> mean, scale, beta;
  bool relu;

  __device__ __forceinline__ float operator()(float x, int lane) const {
    x = fmaf(x - mean.v[lane], scale.v[lane], beta.v[lane]);
    return relu && x <= 0 ? 0.0f : x;
  }
};

template <int kLanes, bool kAligned = true>
__device__ __forceinline__ OwnTransform<kLanes> own_transform(const DeviceLoader& load, int64_t c) {
  OwnTransform<kLanes> t;
  t.relu = load.relu;
#pragma unroll
  for (int l = 0; l < kLanes; ++l) t.mean.v[l] = t.beta.v[l] = 0, t.scale.v[l] = 1;
  if (load.mean) {
    t.mean = load_lanes<kLanes, kAligned>(load.mean + c);
    t.scale = load_lanes<kLanes, kAligned>(load.rstd + c);
  }
  if (load.gamma) {
    const Lanes<kLanes> gamma = load_lanes<kLanes, kAligned>(load.gamma + c);
    t.beta = load_lanes<kLanes, kAligned>(load.beta + c);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) t.scale.v[l] *= gamma.v[l];
  }
  return t;
}

/// The constants of a transform can be read 16 bytes at a time.
inline bool aligned4(const DeviceLoader& load) {
  const float* all[] = {load.mean, load.rstd, load.gamma, load.beta};
  return std::all_of(std::begin(all), std::end(all), [](const float* p) { return aligned4(p, 0, 0); });
}

}  // namespace mixop::kernels::cuda
