#include "kernels/ops/cross_entropy.h"

#include "kernels/core/cuda/row_groups.cuh"
#include "kernels/core/cuda/tickets.cuh"

namespace mixop::kernels {
namespace {
using namespace cuda;

/// [rows, classes], rows ld floats apart.
struct Matrix {
  float* data;
  int64_t ld, rows, classes;
  __device__ __forceinline__ float* row(int64_t r) const { return data + r * ld; }
};
Matrix matrix_of(const View& v) { return {v.as<float>(), v.ld, v.rows(), v.last()}; }

struct Labels {
  const int32_t* data;
  bool ignoring;
  int32_t ignore;
  __device__ __forceinline__ int32_t operator[](int64_t r) const { return data[r]; }
  __device__ __forceinline__ bool ignored(int64_t r) const { return ignoring && data[r] == ignore; }
};
Labels labels_of(const View& v, const CrossEntropyAttrs& a) {
  return {v.as<int32_t>(), a.ignore_index.has_value(), a.ignore_index.value_or(0)};
}

/// Log-probabilities of a row, and probabilities: in float64, so that p - 1 stays right near certainty.
struct LogSoftmaxRow {
  const float* x;
  double top, log_sum;
  __device__ __forceinline__ double operator[](int64_t k) const {
    return static_cast<double>(x[k]) - top - log_sum;
  }
  __device__ __forceinline__ double p(int64_t k) const { return exp((*this)[k]); }
};
template <class G>
__device__ __forceinline__ LogSoftmaxRow log_softmax_row(const float* x, int64_t n) {
  const ExpSum e = exp_sum<G>(n, [&](int64_t k) { return x[k]; });
  return {x, static_cast<double>(e.top), log(e.sum)};
}

/// A number known when the graph is built, or one that the device counts.
struct Divisor {
  double fixed;
  const double* counted;
  __device__ __forceinline__ double operator()() const { return counted ? *counted : fixed; }
};

/// Where a number of each row goes: to y [rows], or, summed and divided by the block that comes last, to y [1].
struct RowNumbers {
  double* each;
  int64_t rows;
  unsigned* ticket;  ///< null: they are not summed
  Divisor divisor;
  float* y;

  /// The number of the group's row is that of its first thread. All threads must call.
  template <class G>
  __device__ __forceinline__ void take(double number) const {
    const int64_t r = G::row();
    const bool owner = G::rank() == 0 && r < rows;
    if (!ticket) {
      if (owner) y[r] = static_cast<float>(number);
      return;
    }
    if (owner) each[r] = number;
    if (!last_block(ticket, gridDim.x)) return;
    double sum = 0;
    for (int64_t i = threadIdx.x; i < rows; i += kGroupBlock) sum += each[i];
    sum = block_sum<kGroupBlock>(sum);
    if (threadIdx.x == 0) *y = static_cast<float>(sum / divisor());
  }
};

/// -(1 - e) log p[label] - e / K sum_k log p[k] of the group's row.
template <class G>
__device__ __forceinline__ double hard_loss(const Matrix& logits, const Labels& labels, double e) {
  const int64_t r = G::row(), n = logits.classes;
  const LogSoftmaxRow log_p = log_softmax_row<G>(logits.row(r), n);
  double sum = 0;
  if (e > 0)
    for (int64_t k = G::rank(); k < n; k += G::kSize) sum += log_p[k];
  sum = G::sum(sum);
  const int32_t label = labels[r];
  if (labels.ignored(r)) return 0;
  if (label < 0 || label >= n) return NAN;
  return -(1 - e) * log_p[label] - (e > 0 ? e / static_cast<double>(n) * sum : 0);
}

/// A group of threads owns a row.
template <class G>
__global__ void cross_entropy_rows(Matrix logits, Labels labels, double e, RowNumbers losses) {
  wait_for_earlier();
  losses.take<G>(G::row() < logits.rows ? hard_loss<G>(logits, labels, e) : 0);
}

/// -sum_k t_k log p[k] of the group's row.
template <class G>
__device__ __forceinline__ double soft_loss(const Matrix& logits, const Matrix& targets) {
  const int64_t r = G::row();
  const LogSoftmaxRow log_p = log_softmax_row<G>(logits.row(r), logits.classes);
  double sum = 0;
  for (int64_t k = G::rank(); k < logits.classes; k += G::kSize)
    sum -= static_cast<double>(targets.row(r)[k]) * log_p[k];
  return G::sum(sum);
}

/// A group of threads owns a row.
template <class G>
__global__ void cross_entropy_soft_rows(Matrix logits, Matrix targets, RowNumbers losses) {
  wait_for_earlier();
  losses.take<G>(G::row() < logits.rows ? soft_loss<G>(logits, targets) : 0);
}

/// 1 when fewer than k logits of the group's row rank above the label's, else 0. A NaN ranks above all numbers; a
/// label that is one or that is out of range is never right.
template <class G>
__device__ __forceinline__ double is_right(const Matrix& logits, const Labels& labels, int k) {
  const int64_t r = G::row(), n = logits.classes, label = labels[r];
  const float* x = logits.row(r);
  const bool valid = label >= 0 && label < n;
  const float own = valid ? x[label] : NAN;
  int above = 0;
  for (int64_t j = G::rank(); j < n; j += G::kSize) above += !(x[j] < own) && !(x[j] == own && j >= label);
  above = G::sum(above);
  return own == own && above < k ? 1 : 0;
}

/// A group of threads owns a row.
template <class G>
__global__ void top_k_rows(Matrix logits, Labels labels, int k, RowNumbers right) {
  wait_for_earlier();
  right.take<G>(G::row() < logits.rows ? is_right<G>(logits, labels, k) : 0);
}

/// The divisor of a mean: the rows that count. One block; a thread owns every 256th row.
__global__ void __launch_bounds__(kGroupBlock) count_rows(Labels labels, int64_t rows, double* count) {
  wait_for_earlier();
  int n = 0;
  for (int64_t r = threadIdx.x; r < rows; r += kGroupBlock) n += !labels.ignored(r);
  n = block_sum<kGroupBlock>(n);
  if (threadIdx.x == 0) *count = n;
}

/// What comes from above: dloss [1] or one a row, and the divisor of the mean.
struct Upstream {
  const float* dloss;  ///< null: 1
  bool each;
  Divisor divisor;
  __device__ __forceinline__ double operator()(int64_t r) const {
    return (dloss ? static_cast<double>(dloss[each ? r : 0]) : 1) / divisor();
  }
};

__device__ __forceinline__ void write(float& out, double value, bool add) {
  out = static_cast<float>(value) + (add ? out : 0.0f);
}

/// dx (+)= dloss (p - (1 - e) onehot - e / K); a group of threads owns a row.
template <class G>
__global__ void cross_entropy_grad_rows(Upstream upstream, Matrix logits, Labels labels, double e, Matrix dx,
                                        bool add) {
  wait_for_earlier();
  const int64_t r = G::row(), n = logits.classes;
  if (r >= logits.rows) return;
  const LogSoftmaxRow log_p = log_softmax_row<G>(logits.row(r), n);
  const int32_t label = labels[r];
  const bool ignored = labels.ignored(r);
  const double scale = label < 0 || label >= n ? NAN : upstream(r), smooth = e / static_cast<double>(n);
  for (int64_t k = G::rank(); k < n; k += G::kSize) {
    const double target = (k == label ? 1 - e : 0) + smooth;
    write(dx.row(r)[k], ignored ? 0 : scale * (log_p.p(k) - target), add);
  }
}

/// dx (+)= dloss (p sum(t) - t); a group of threads owns a row.
template <class G>
__global__ void cross_entropy_soft_grad_rows(Upstream upstream, Matrix logits, Matrix targets, Matrix dx,
                                             bool add) {
  wait_for_earlier();
  const int64_t r = G::row(), n = logits.classes;
  if (r >= logits.rows) return;
  const LogSoftmaxRow log_p = log_softmax_row<G>(logits.row(r), n);
  const float* t = targets.row(r);
  double total = 0;
  for (int64_t k = G::rank(); k < n; k += G::kSize) total += static_cast<double>(t[k]);
  total = G::sum(total);
  const double scale = upstream(r);
  for (int64_t k = G::rank(); k < n; k += G::kSize)
    write(dx.row(r)[k], scale * (log_p.p(k) * total - static_cast<double>(t[k])), add);
}

/// dt (+)= -dloss log p; a group of threads owns a row.
template <class G>
__global__ void cross_entropy_soft_target_grad_rows(Upstream upstream, Matrix logits, Matrix dt, bool add) {
  wait_for_earlier();
  const int64_t r = G::row(), n = logits.classes;
  if (r >= logits.rows) return;
  const LogSoftmaxRow log_p = log_softmax_row<G>(logits.row(r), n);
  const double scale = upstream(r);
  for (int64_t k = G::rank(); k < n; k += G::kSize) write(dt.row(r)[k], -scale * log_p[k], add);
}

/// Calls f with the group for a row and the grid of such groups.
template <class F>
void with_rows(const View& logits, F&& f) {
  const auto start = [&]<class G>(G group) { f(group, grid_for(logits.rows(), G::kPerBlock, INT32_MAX)); };
  if (logits.last() > 1024) start(Group<kGroupBlock>());
  else start(Group<kWarp>());
}

const CrossEntropyAttrs& attrs_of(const Call& call) { return call.attr<CrossEntropyAttrs>(); }

/// The divisor for hard labels; where rows are ignored it is counted into `memory`.
Divisor hard_divisor(const Call& call, const View& labels, double* memory) {
  const CrossEntropyAttrs& a = attrs_of(call);
  if (a.reduction != Reduction::kMean) return {1, nullptr};
  if (!a.ignore_index) return {static_cast<double>(labels.last()), nullptr};
  launch_dependent(*call.exec, "count_rows", count_rows, dim3(1), dim3(kGroupBlock), 0, labels_of(labels, a),
                   labels.last(), memory);
  return {1, memory};
}
Divisor soft_divisor(const Call& call, const View& logits) {
  return {attrs_of(call).reduction == Reduction::kMean ? static_cast<double>(logits.rows()) : 1, nullptr};
}

/// Workspace of the losses: a double a row, then the divisor.
size_t losses_bytes(const Call& call) { return (static_cast<size_t>(call.in[0].rows()) + 1) * sizeof(double); }
size_t divisor_bytes(const Call&) { return sizeof(double); }

/// One number a row of the logits, for the call's first output.
RowNumbers numbers_of(const Call& call, bool summed, const Divisor& divisor) {
  const int64_t rows = call.in[0].rows();
  return {call.exec->scratch<double>(), rows, summed ? call.exec->tickets : nullptr, divisor,
          call.out[0].as<float>()};
}
RowNumbers losses_of(const Call& call, const Divisor& divisor) {
  return numbers_of(call, attrs_of(call).reduction != Reduction::kNone, divisor);
}

void run_hard(const Call& call) {
  const View &logits = call.in[0], &labels = call.in[1];
  const Divisor divisor = hard_divisor(call, labels, call.exec->scratch<double>() + logits.rows());
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "cross_entropy_rows", cross_entropy_rows<G>, grid, dim3(kGroupBlock), 0,
                     matrix_of(logits), labels_of(labels, attrs_of(call)), attrs_of(call).label_smoothing,
                     losses_of(call, divisor));
  });
}

void run_soft(const Call& call) {
  const View& logits = call.in[0];
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "cross_entropy_soft_rows", cross_entropy_soft_rows<G>, grid, dim3(kGroupBlock), 0,
                     matrix_of(logits), matrix_of(call.in[1]), losses_of(call, soft_divisor(call, logits)));
  });
}

Upstream upstream_of(const Call& call, const Divisor& divisor) {
  const CrossEntropyAttrs& a = attrs_of(call);
  return {a.unit ? nullptr : call.in[0].as<float>(), a.reduction == Reduction::kNone, divisor};
}

void run_hard_grad(const Call& call) {
  const size_t first = attrs_of(call).unit ? 0 : 1;
  const View &logits = call.in[first], &labels = call.in[first + 1];
  const Out& dx = call.out[0];
  const Upstream upstream = upstream_of(call, hard_divisor(call, labels, call.exec->scratch<double>()));
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "cross_entropy_grad_rows", cross_entropy_grad_rows<G>, grid, dim3(kGroupBlock), 0,
                     upstream, matrix_of(logits), labels_of(labels, attrs_of(call)), attrs_of(call).label_smoothing,
                     matrix_of(dx), dx.write == Write::kAdd);
  });
}

void run_soft_grad(const Call& call) {
  const View& logits = call.in[1];
  const Out& dx = call.out[0];
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "cross_entropy_soft_grad_rows", cross_entropy_soft_grad_rows<G>, grid,
                     dim3(kGroupBlock), 0, upstream_of(call, soft_divisor(call, logits)), matrix_of(logits),
                     matrix_of(call.in[2]), matrix_of(dx), dx.write == Write::kAdd);
  });
}

void run_soft_target_grad(const Call& call) {
  const View& logits = call.in[1];
  const Out& dt = call.out[0];
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "cross_entropy_soft_target_grad_rows", cross_entropy_soft_target_grad_rows<G>,
                     grid, dim3(kGroupBlock), 0, upstream_of(call, soft_divisor(call, logits)), matrix_of(logits),
                     matrix_of(dt), dt.write == Write::kAdd);
  });
}

void run_top_k(const Call& call) {
  const View& logits = call.in[0];
  with_rows(logits, [&]<class G>(G, dim3 grid) {
    launch_dependent(*call.exec, "top_k_rows", top_k_rows<G>, grid, dim3(kGroupBlock), 0, matrix_of(logits),
                     labels_of(call.in[1], {}), call.attr<TopKAttrs>().k,
                     numbers_of(call, true, Divisor{1, nullptr}));
  });
}

constexpr Impl kHard[] = {{"rows", all_float32, run_hard, losses_bytes}};
constexpr Impl kHardGrad[] = {{"rows", all_float32, run_hard_grad, divisor_bytes}};
constexpr Impl kSoft[] = {{"rows", all_float32, run_soft, losses_bytes}};
constexpr Impl kSoftGrad[] = {{"rows", all_float32, run_soft_grad}};
constexpr Impl kSoftTargetGrad[] = {{"rows", all_float32, run_soft_target_grad}};
constexpr Impl kTopK[] = {{"rows", all_float32, run_top_k, losses_bytes}};
}  // namespace

std::span<const Impl> cross_entropy_cuda() { return kHard; }
std::span<const Impl> cross_entropy_grad_cuda() { return kHardGrad; }
std::span<const Impl> cross_entropy_soft_cuda() { return kSoft; }
std::span<const Impl> cross_entropy_soft_grad_cuda() { return kSoftGrad; }
std::span<const Impl> cross_entropy_soft_target_grad_cuda() { return kSoftTargetGrad; }
std::span<const Impl> top_k_cuda() { return kTopK; }
}  // namespace mixop::kernels
