#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/stored.cuh"
#include "kernels/ops/copy.h"

namespace mixop::kernels {
namespace {
using cuda::Stored;

constexpr int kBlock = 256;

/// Rows as the kernels walk them.
struct Rows {
  Stored x, y;
  int64_t ldx, ldy, rows, last;
};

/// Contiguous operands become one row.
Rows rows_of(const View& x, const Out& y) {
  Rows m{Stored(x), Stored(y), x.ld, y.ld, y.rows(), y.last()};
  if (x.contiguous() && y.contiguous()) m = {m.x, m.y, 0, 0, 1, m.rows * m.last};
  return m;
}

// y (+)= x. A thread owns kWidth neighbouring elements at a time.
template <int kWidth, bool kAdd>
__global__ void copy_rows(Rows m) {
  cuda::wait_for_earlier();
  const int64_t columns = m.last / kWidth, items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += threads) {
    const int64_t r = i / columns, c = (i - r * columns) * kWidth;
    const int64_t from = r * m.ldx + c, to = r * m.ldy + c;
    if constexpr (kWidth == 1) m.y.store(to, kAdd ? m.y.load(to) + m.x.load(from) : m.x.load(from));
    else if constexpr (kAdd) m.y.add4(to, m.x.load4(from));
    else m.y.store4(to, m.x.load4(from));
  }
}

// y = value. A thread owns kWidth neighbouring elements at a time.
template <int kWidth>
__global__ void fill_rows(Rows m, float value) {
  cuda::wait_for_earlier();
  const int64_t columns = m.last / kWidth, items = m.rows * columns, threads = int64_t{blockDim.x} * gridDim.x;
  for (int64_t i = int64_t{blockIdx.x} * blockDim.x + threadIdx.x; i < items; i += threads) {
    const int64_t r = i / columns, c = (i - r * columns) * kWidth;
    const int64_t to = r * m.ldy + c;
    if constexpr (kWidth == 4) m.y.store4(to, make_float4(value, value, value, value));
    else m.y.store(to, value);
  }
}

// counter += 1. One thread.
template <class T>
__global__ void advance_counter(T* counter) {
  cuda::wait_for_earlier();
  *counter += 1;
}

bool aligned(const Rows& m) { return cuda::in_fours(m.x, m.ldx, m.last) && cuda::in_fours(m.y, m.ldy, m.last); }

dim3 grid_of(const Rows& m, int width) { return cuda::grid_for(m.rows * m.last / width, kBlock); }

template <bool kAdd>
void launch_copy(const Call& call, const Rows& m) {
  if (aligned(m)) cuda::launch_dependent(*call.exec, "copy_rows", copy_rows<4, kAdd>, grid_of(m, 4), kBlock, 0, m);
  else cuda::launch_dependent(*call.exec, "copy_rows", copy_rows<1, kAdd>, grid_of(m, 1), kBlock, 0, m);
}

void run_copy(const Call& call) {
  const Rows m = rows_of(call.in[0], call.out[0]);
  if (call.out[0].write == Write::kAdd) launch_copy<true>(call, m);
  else launch_copy<false>(call, m);
}

void run_assign(const Call& call) { launch_copy<false>(call, rows_of(call.in[1], Out{call.in[0]})); }

void run_fill(const Call& call) {
  const Out& y = call.out[0];
  const Rows m = rows_of(y, y);
  const auto value = static_cast<float>(call.attr<FillAttrs>().value);
  if (aligned(m)) cuda::launch_dependent(*call.exec, "fill_rows", fill_rows<4>, grid_of(m, 4), kBlock, 0, m, value);
  else cuda::launch_dependent(*call.exec, "fill_rows", fill_rows<1>, grid_of(m, 1), kBlock, 0, m, value);
}

void run_advance(const Call& call) {
  const View& counter = call.in[0];
  const auto run = [&]<class T>() {
    cuda::launch_dependent(*call.exec, "advance_counter", advance_counter<T>, 1, 1, 0, counter.as<T>());
  };
  if (counter.dtype == DType::kI32) run.template operator()<int32_t>();
  else with_float(counter.dtype, run);
}

constexpr Impl kCopy[] = {{"rows", all_float32_or_bf16, run_copy}};
constexpr Impl kFill[] = {{"rows", all_float32, run_fill}};
constexpr Impl kAssign[] = {{"rows", all_float32, run_assign}};
constexpr Impl kAdvance[] = {{"one_thread", any, run_advance}};
}  // namespace

std::span<const Impl> copy_cuda() { return kCopy; }
std::span<const Impl> fill_cuda() { return kFill; }
std::span<const Impl> assign_cuda() { return kAssign; }
std::span<const Impl> advance_cuda() { return kAdvance; }
}  // namespace mixop::kernels
