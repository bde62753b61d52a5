#include "kernels/ops/binary.h"

#include "kernels/core/cuda/reduce_axes.cuh"
#include "kernels/core/cuda/rows.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

template <Binary kKind>
__device__ __forceinline__ float apply(float a, float b) {
  return kKind == Binary::kAdd ? a + b : kKind == Binary::kSub ? a - b : kKind == Binary::kMul ? a * b : a / b;
}

/// y (+)= a op b, where a row stride of 0 repeats a vector; a thread owns kLanes columns of some rows.
template <Binary kKind, int kLanes>
__global__ void binary_rows(Rows a, Rows b, Rows y, Extent e, bool add) {
  wait_for_earlier();
  for_elements<kLanes>(e, [&](int64_t r, int64_t c) {
    Lanes<kLanes> v = load_lanes<kLanes>(a.data + r * a.ld + c);
    const Lanes<kLanes> w = load_lanes<kLanes>(b.data + r * b.ld + c);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) v.v[l] = apply<kKind>(v.v[l], w.v[l]);
    write_lanes(y.data + r * y.ld + c, v, add);
  });
}

/// An operand under broadcasting: element (row, column) of y meets data[outer.offset(row) + column * step].
struct Repeated {
  const float* data;
  Axes outer;
  int64_t step;
};

/// y (+)= a op b under any broadcasting; a thread owns one column of some rows.
template <Binary kKind>
__global__ void binary_broadcast(Repeated a, Repeated b, Rows y, Extent e, bool add) {
  wait_for_earlier();
  for (int64_t r = first_row(); r < e.rows; r += row_step()) {
    const float *ar = a.data + a.outer.offset(r), *br = b.data + b.outer.offset(r);
    for (int64_t c = first_column<1>(); c < e.last; c += column_step<1>()) {
      const float v = apply<kKind>(ar[c * a.step], br[c * b.step]);
      float& out = y.data[r * y.ld + c];
      out = add ? out + v : v;
    }
  }
}

bool whole(const View& v, const View& y) { return v.shape.elements() == y.shape.elements(); }
/// A vector along the last axis of y, repeated in every row.
bool is_vector(const View& v, const View& y) { return v.shape.elements() == y.last() && v.last() == y.last(); }

bool accepts_rows(const Call& call) {
  const View& y = call.out[0];
  for (const View& v : call.in)
    if (!whole(v, y) && !is_vector(v, y)) return false;
  return all_float32(call);
}

/// Calls f.template operator()<kind>().
template <class F>
void with_binary(const Call& call, F&& f) {
  switch (call.attr<BinaryAttrs>().kind) {
    case Binary::kAdd:
      return f.template operator()<Binary::kAdd>();
    case Binary::kSub:
      return f.template operator()<Binary::kSub>();
    case Binary::kMul:
      return f.template operator()<Binary::kMul>();
    case Binary::kDiv:
      return f.template operator()<Binary::kDiv>();
  }
}

void run_rows(const Call& call) {
  const Out& out = call.out[0];
  const bool same = whole(call.in[0], out) && whole(call.in[1], out);
  const Extent e = same ? flat_extent({&out, &call.in[0], &call.in[1]}) : Extent{out.rows(), out.last()};
  const auto operand = [&](const View& v) { return whole(v, out) ? rows_of(v, e) : Rows{v.as<float>(), 0}; };
  const Rows a = operand(call.in[0]), b = operand(call.in[1]), y = rows_of(out, e);
  with_binary(call, [&]<Binary kKind>() {
    with_lanes(all_aligned4(e, {a, b, y}), [&]<int kLanes>() {
      const auto [grid, block] = rows_grid(e, kLanes, same ? 1 : 4);
      launch_dependent(*call.exec, "binary_rows", binary_rows<kKind, kLanes>, grid, block, 0, a, b, y, e,
                       out.write == Write::kAdd);
    });
  });
}

/// Axis k of a shape of `rank` axes, seen from v, whose axes are aligned at the last: its extent, 1 where missing.
int64_t extent_of(const View& v, int rank, int k) {
  const int mine = k - (rank - v.shape.rank());
  return mine < 0 ? 1 : v.shape[mine];
}

Repeated repeated(const View& v, const View& y) {
  const int rank = y.shape.rank();
  std::array<int64_t, kMaxRank> stride{};
  int64_t step = 1;
  for (int k = rank - 1; k >= 0; --k) {
    const int64_t extent = extent_of(v, rank, k);
    stride[k] = extent == 1 ? 0 : step;
    step = k == rank - 1 ? v.ld : step * extent;
  }
  Repeated r{v.as<float>(), {}, stride[rank - 1]};
  for (int k = 0; k < rank - 1; ++k) r.outer.push(y.shape[k], stride[k]);
  return r;
}

void run_broadcast(const Call& call) {
  const Out& out = call.out[0];
  const Extent e = {out.rows(), out.last()};
  const auto [grid, block] = rows_grid(e, 1);
  with_binary(call, [&, grid = grid, block = block]<Binary kKind>() {
    launch_dependent(*call.exec, "binary_broadcast", binary_broadcast<kKind>, grid, block, 0,
                     repeated(call.in[0], out), repeated(call.in[1], out), Rows{out.as<float>(), out.ld}, e,
                     out.write == Write::kAdd);
  });
}

/// Axes along which the result was repeated go.
Reduction reduction_of(const Call& call) {
  const View &dy = call.in[0], &out = call.out[0];
  return cuda::reduction_of(dy, [&](int k) { return extent_of(out, dy.shape.rank(), k) == 1; });
}

void run_reduce_to(const Call& call) {
  const Out& out = call.out[0];
  const ReduceSink sink{elements_of(out), call.attr<ReduceToAttrs>().scale, out.write == Write::kAdd};
  start_reduce(*call.exec, SumOf(), call.in[0], reduction_of(call), sink);
}
size_t reduce_to_workspace(const Call& call) { return reduce_bytes(reduction_of(call)); }

constexpr Impl kBinary[] = {{"rows", accepts_rows, run_rows}, {"broadcast", all_float32, run_broadcast}};
constexpr Impl kReduceTo[] = {{"parts", all_float32, run_reduce_to, reduce_to_workspace}};
}  // namespace

std::span<const Impl> binary_cuda() { return kBinary; }
std::span<const Impl> reduce_to_cuda() { return kReduceTo; }
}  // namespace mixop::kernels
