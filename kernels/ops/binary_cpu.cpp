#include "kernels/ops/binary.h"

#include "kernels/ops/binary_ref.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/ops/binary_cpu.cpp"
#include "hwy/foreach_target.h"
#include "hwy/highway.h"

HWY_BEFORE_NAMESPACE();
namespace mixop::kernels {
namespace HWY_NAMESPACE {
template <Binary kKind>
void Block(const BinaryRows<float>& s, bool add) {
  if (add) binary_block<float, kKind, true>(s);
  else binary_block<float, kKind, false>(s);
}
void BinaryBlock(const BinaryRows<float>& s, Binary kind, bool add) {
  if (kind == Binary::kAdd) Block<Binary::kAdd>(s, add);
  else if (kind == Binary::kSub) Block<Binary::kSub>(s, add);
  else if (kind == Binary::kMul) Block<Binary::kMul>(s, add);
  else Block<Binary::kDiv>(s, add);
}
void SumRowsBlock(const float* x, int64_t ldx, int64_t rows, int64_t last, double* sums) {
  sum_rows_block(x, ldx, rows, last, sums);
}
}  // namespace HWY_NAMESPACE
}  // namespace mixop::kernels
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace mixop::kernels {
HWY_EXPORT(BinaryBlock);
HWY_EXPORT(SumRowsBlock);
namespace {

/// A vector along the last axis of y, repeated in every row.
bool is_vector(const View& v, const View& y) { return v.shape.elements() == y.last() && v.last() == y.last(); }

/// Both operands are as large as y or vectors along its last axis.
bool accepts_rows(const Call& call) {
  const View& y = call.out[0];
  for (const View& v : call.in)
    if (v.shape.elements() != y.shape.elements() && !is_vector(v, y)) return false;
  return all_float32(call);
}

void run_rows(const Call& call) {
  const View &a = call.in[0], &b = call.in[1];
  const Out& y = call.out[0];
  const int64_t n = y.shape.elements();
  const auto whole = [&](const View& v) { return v.shape.elements() == n; };
  const bool flat = whole(a) && whole(b) && a.contiguous() && b.contiguous() && y.contiguous();
  const int64_t rows = flat ? n : y.rows(), tasks = std::clamp<int64_t>(n >> 15, 1, rows);
  const auto block = HWY_DYNAMIC_DISPATCH(BinaryBlock);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    BinaryRows<float> s = {a.as<float>(), b.as<float>(), y.as<float>(), 1, 1, 1, 1, end - begin};
    if (!flat) s = {s.a, s.b, s.y, whole(a) ? a.ld : 0, whole(b) ? b.ld : 0, y.ld, end - begin, y.last()};
    s.a += begin * s.lda;
    s.b += begin * s.ldb;
    s.y += begin * s.ldy;
    block(s, call.attr<BinaryAttrs>().kind, y.write == Write::kAdd);
  });
}

/// The gradient of a vector that was added to every row.
bool accepts_columns(const Call& call) { return all_float32(call) && is_vector(call.out[0], call.in[0]); }

int64_t column_parts(const View& dy) { return std::clamp<int64_t>(dy.rows() / 128, 1, 64); }

size_t columns_workspace(const Call& call) {
  return static_cast<size_t>(column_parts(call.in[0]) * call.in[0].last()) * sizeof(double);
}

void run_columns(const Call& call) {
  const View& dy = call.in[0];
  const Out& out = call.out[0];
  const int64_t parts = column_parts(dy), n = dy.last();
  double* partial = call.exec->scratch<double>();
  const auto block = HWY_DYNAMIC_DISPATCH(SumRowsBlock);
  parallel_for(*call.exec, parts, [&](int64_t p, int) {
    const auto [begin, end] = part_of(dy.rows(), parts, p);
    block(dy.as<float>() + begin * dy.ld, dy.ld, end - begin, n, partial + p * n);
  });
  for (int64_t c = 0; c < n; ++c) {
    double sum = 0;
    for (int64_t p = 0; p < parts; ++p) sum += partial[p * n + c];
    float& y = out.as<float>()[c];
    y = static_cast<float>(sum * call.attr<ReduceToAttrs>().scale) + (out.write == Write::kAdd ? y : 0.0f);
  }
}

void run_binary_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { binary_ref<T>(call); });
}
void run_reduce_to_ref(const Call& call) {
  with_float(call.out[0].dtype, [&]<class T>() { reduce_to_ref<T>(call); });
}

constexpr Impl kBinary[] = {{"rows", accepts_rows, run_rows}, {"ref", any, run_binary_ref}};
constexpr Impl kReduceTo[] = {{"columns", accepts_columns, run_columns, columns_workspace},
                              {"ref", any, run_reduce_to_ref}};
}  // namespace

std::span<const Impl> binary_cpu() { return kBinary; }
std::span<const Impl> reduce_to_cpu() { return kReduceTo; }
}  // namespace mixop::kernels
#endif
