#include <utility>

#include "kernels/core/cuda/rows.cuh"
#include "kernels/ops/unary_functions.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// y = f(x); a thread owns kLanes columns of some rows.
template <Unary kKind, int kLanes>
__global__ void unary_rows(Rows x, Rows y, Extent e) {
  wait_for_earlier();
  for_elements<kLanes>(e, [&](int64_t r, int64_t c) {
    Lanes<kLanes> v = load_lanes<kLanes>(x.data + r * x.ld + c);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) v.v[l] = unary_value<kKind>(v.v[l]);
    store_lanes(y.data + r * y.ld + c, v);
  });
}

/// dx (+)= dy f'(x); a thread owns kLanes columns of some rows.
template <Unary kKind, int kLanes>
__global__ void unary_grad_rows(Rows dy, Rows x, Rows dx, Extent e, bool add) {
  wait_for_earlier();
  for_elements<kLanes>(e, [&](int64_t r, int64_t c) {
    Lanes<kLanes> g = load_lanes<kLanes>(dy.data + r * dy.ld + c);
    const Lanes<kLanes> v = load_lanes<kLanes>(x.data + r * x.ld + c);
#pragma unroll
    for (int l = 0; l < kLanes; ++l) g.v[l] *= unary_slope<kKind>(v.v[l]);
    write_lanes(dx.data + r * dx.ld + c, g, add);
  });
}

/// dx (+)= dy where t(x) > 0, else 0; a thread owns kLanes channels of some rows.
template <int kLanes>
__global__ void relu_grad_rows(Rows dy, Rows x, Rows dx, DeviceLoader norm, Extent e, bool add) {
  wait_for_earlier();
  for (int64_t c = first_column<kLanes>(); c < e.last; c += column_step<kLanes>()) {
    const OwnTransform<kLanes> t = own_transform<kLanes>(norm, c);
    for (int64_t r = first_row(); r < e.rows; r += row_step()) {
      Lanes<kLanes> g = load_lanes<kLanes>(dy.data + r * dy.ld + c);
      const Lanes<kLanes> v = load_lanes<kLanes>(x.data + r * x.ld + c);
#pragma unroll
      for (int l = 0; l < kLanes; ++l) g.v[l] = t(v.v[l], l) <= 0 ? 0 : g.v[l];
      write_lanes(dx.data + r * dx.ld + c, g, add);
    }
  }
}

template <Unary kKind>
void start_unary(const Call& call) {
  const Extent e = flat_extent({&call.in[0], &call.out[0]});
  const Rows x = rows_of(call.in[0], e), y = rows_of(call.out[0], e);
  with_lanes(all_aligned4(e, {x, y}), [&]<int kLanes>() {
    const auto [grid, block] = rows_grid(e, kLanes);
    launch_dependent(*call.exec, "unary_rows", unary_rows<kKind, kLanes>, grid, block, 0, x, y, e);
  });
}

template <Unary kKind>
void start_unary_grad(const Call& call) {
  const Extent e = flat_extent({&call.in[0], &call.in[1], &call.out[0]});
  const Rows dy = rows_of(call.in[0], e), x = rows_of(call.in[1], e), dx = rows_of(call.out[0], e);
  const bool add = call.out[0].write == Write::kAdd;
  with_lanes(all_aligned4(e, {dy, x, dx}), [&]<int kLanes>() {
    const auto [grid, block] = rows_grid(e, kLanes);
    launch_dependent(*call.exec, "unary_grad_rows", unary_grad_rows<kKind, kLanes>, grid, block, 0, dy, x, dx, e,
                     add);
  });
}

using Start = void (*)(const Call&);
template <size_t... kKinds>
Start unary_of(Unary kind, std::index_sequence<kKinds...>) {
  constexpr Start kAll[] = {start_unary<static_cast<Unary>(kKinds)>...};
  return kAll[static_cast<size_t>(kind)];
}
template <size_t... kKinds>
Start unary_grad_of(Unary kind, std::index_sequence<kKinds...>) {
  constexpr Start kAll[] = {start_unary_grad<static_cast<Unary>(kKinds)>...};
  return kAll[static_cast<size_t>(kind)];
}
using AllKinds = std::make_index_sequence<static_cast<size_t>(Unary::kSoftplus) + 1>;

void run_unary(const Call& call) { unary_of(call.attr<UnaryAttrs>().kind, AllKinds())(call); }
void run_unary_grad(const Call& call) { unary_grad_of(call.attr<UnaryAttrs>().kind, AllKinds())(call); }
void run_relu(const Call& call) { start_unary<Unary::kRelu>(call); }

void run_relu_grad(const Call& call) {
  OnLoad load = call.attr<ReluGradAttrs>().load;
  load.relu = false;
  const DeviceLoader norm = device_loader(call, load, 2);
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const Extent e = load.norm ? Extent{x.rows(), x.last()} : flat_extent({&dy, &x, &dx});
  const Rows rows[] = {rows_of(dy, e), rows_of(x, e), rows_of(dx, e)};
  with_lanes(all_aligned4(e, {rows[0], rows[1], rows[2]}) && aligned4(norm), [&]<int kLanes>() {
    const auto [grid, block] = rows_grid(e, kLanes, load.norm ? 4 : 1);
    launch_dependent(*call.exec, "relu_grad_rows", relu_grad_rows<kLanes>, grid, block, 0, rows[0], rows[1],
                     rows[2], norm, e, dx.write == Write::kAdd);
  });
}

constexpr Impl kUnary[] = {{"rows", all_float32, run_unary}};
constexpr Impl kUnaryGrad[] = {{"rows", all_float32, run_unary_grad}};
constexpr Impl kRelu[] = {{"rows", all_float32, run_relu}};
constexpr Impl kReluGrad[] = {{"rows", all_float32, run_relu_grad}};
}  // namespace

std::span<const Impl> unary_cuda() { return kUnary; }
std::span<const Impl> unary_grad_cuda() { return kUnaryGrad; }
std::span<const Impl> relu_cuda() { return kRelu; }
std::span<const Impl> relu_grad_cuda() { return kReluGrad; }
}  // namespace mixop::kernels
