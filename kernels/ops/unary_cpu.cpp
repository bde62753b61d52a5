#include "kernels/ops/unary.h"

#include <algorithm>

#include "kernels/ops/unary_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/unary_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
void ReluBlock(const float* x, int64_t ldx, float* y, int64_t ldy, int64_t rows, int64_t last) {
  relu_block(x, ldx, y, ldy, rows, last);
}
void ReluGradBlock(const ReluGradRows<float>& b, const Loader<float>& load, bool add) {
  if (add) relu_grad_block<float, true>(b, load);
  else relu_grad_block<float, false>(b, load);
}
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(ReluBlock);
HWY_EXPORT(ReluGradBlock);
namespace {

/// Bands of about 32k elements.
int64_t bands(const View& x, int64_t rows) { return std::clamp<int64_t>(x.shape.elements() >> 15, 1, rows); }

void run_relu(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const bool flat = x.contiguous() && y.contiguous();  // then one long row, split anywhere
  const int64_t rows = flat ? x.shape.elements() : x.rows(), tasks = bands(x, rows);
  const auto block = HWY_DYNAMIC_DISPATCH(ReluBlock);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    if (flat) block(x.as<float>() + begin, 0, y.as<float>() + begin, 0, 1, end - begin);
    else block(x.as<float>() + begin * x.ld, x.ld, y.as<float>() + begin * y.ld, y.ld, end - begin, x.last());
  });
}

void run_relu_grad(const Call& call) {
  const View &dy = call.in[0], &x = call.in[1];
  const Out& dx = call.out[0];
  const OnLoad& norm = call.attr<ReluGradAttrs>().load;
  const Loader<float> load(call, norm, 2);
  const bool flat = !norm.norm && dy.contiguous() && x.contiguous() && dx.contiguous();
  const int64_t rows = flat ? x.shape.elements() : x.rows(), tasks = bands(x, rows);
  const auto block = HWY_DYNAMIC_DISPATCH(ReluGradBlock);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    ReluGradRows<float> b = {dy.as<float>(), x.as<float>(), dx.as<float>(), 1, 1, 1, 1, end - begin};
    if (!flat) b = {b.dy, b.x, b.dx, dy.ld, x.ld, dx.ld, end - begin, x.last()};
    b.dy += begin * b.lddy;
    b.x += begin * b.ldx;
    b.dx += begin * b.lddx;
    block(b, load, dx.write == Write::kAdd);
  });
}

void run_relu_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { relu_ref<T>(call); });
}
void run_relu_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { relu_grad_ref<T>(call); });
}
void run_unary_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { unary_ref<T>(call); });
}
void run_unary_grad_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { unary_grad_ref<T>(call); });
}

constexpr Impl kUnary[] = {{"ref", any, run_unary_ref}};
constexpr Impl kUnaryGrad[] = {{"ref", any, run_unary_grad_ref}};
constexpr Impl kRelu[] = {{"rows", all_float32, run_relu}, {"ref", any, run_relu_ref}};
constexpr Impl kReluGrad[] = {{"rows", all_float32, run_relu_grad}, {"ref", any, run_relu_grad_ref}};
}  // namespace

std::span<const Impl> unary_cpu() { return kUnary; }
std::span<const Impl> unary_grad_cpu() { return kUnaryGrad; }
std::span<const Impl> relu_cpu() { return kRelu; }
std::span<const Impl> relu_grad_cpu() { return kReluGrad; }
}  // namespace mixop::kernels
#endif
