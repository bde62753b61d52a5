#pragma once

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/core/parallel.h"
#include "kernels/ops/cross_entropy.h"

namespace mixop::kernels {

/// log_softmax of one row, in float64.
template <class T>
struct LogSoftmaxRow {
  const T* x;
  double top = -std::numeric_limits<double>::infinity(), log_sum;
  LogSoftmaxRow(const View& logits, int64_t row) : x(logits.as<T>() + row * logits.ld) {
    for (int64_t k = 0; k < logits.last(); ++k) top = std::max(top, double{x[k]});
    double sum = 0;
    for (int64_t k = 0; k < logits.last(); ++k) sum += std::exp(x[k] - top);
    log_sum = std::log(sum);
  }
  double operator[](int64_t k) const { return x[k] - top - log_sum; }
};

/// Calls f(row) for each row of the logits, in parallel bands of about 2k elements.
template <class F>
void logit_rows(const Call& call, const View& logits, F&& f) {
  const int64_t rows = logits.rows(), tasks = std::clamp<int64_t>(logits.shape.elements() >> 11, 1, rows);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    for (int64_t r = begin; r < end; ++r) f(r);
  });
}

inline bool ignored(const CrossEntropyAttrs& a, int32_t label) {
  return a.ignore_index && *a.ignore_index == label;
}

/// The divisor of the reduction: rows that count for the mean, else 1.
inline double loss_divisor(const CrossEntropyAttrs& a, const View& labels) {
  if (a.reduction != Reduction::kMean) return 1;
  int64_t n = 0;
  for (int64_t r = 0; r < labels.last(); ++r) n += !ignored(a, labels.as<int32_t>()[r]);
  return static_cast<double>(n);
}

/// Runs loss(row) for all rows and reduces in row order; the workspace holds one float64 a row.
template <class T, class F>
void reduce_loss(const Call& call, double divisor, F&& loss) {
  const View& logits = call.in[0];
  double* each = call.exec->scratch<double>();
  logit_rows(call, logits, [&](int64_t r) { each[r] = loss(r); });
  T* out = call.out[0].as<T>();
  if (call.attr<CrossEntropyAttrs>().reduction == Reduction::kNone) {
    for (int64_t r = 0; r < logits.rows(); ++r) out[r] = static_cast<T>(each[r]);
  } else {
    double sum = 0;
    for (int64_t r = 0; r < logits.rows(); ++r) sum += each[r];
    out[0] = static_cast<T>(sum / divisor);
  }
}

template <class T>
void cross_entropy_ref(const Call& call) {
  const View& logits = call.in[0];
  const int32_t* labels = call.in[1].as<int32_t>();
  const auto& attrs = call.attr<CrossEntropyAttrs>();
  const int64_t classes = logits.last();
  const double e = attrs.label_smoothing;
  reduce_loss<T>(call, loss_divisor(attrs, call.in[1]), [&](int64_t r) {
    if (ignored(attrs, labels[r])) return 0.0;
    if (labels[r] < 0 || labels[r] >= classes) return std::numeric_limits<double>::quiet_NaN();
    const LogSoftmaxRow<T> log_p(logits, r);
    double loss = -(1 - e) * log_p[labels[r]];
    if (e > 0)
      for (int64_t k = 0; k < classes; ++k) loss -= e / static_cast<double>(classes) * log_p[k];
    return loss;
  });
}

template <class T>
void cross_entropy_grad_ref(const Call& call) {
  const auto& attrs = call.attr<CrossEntropyAttrs>();
  const size_t first = attrs.unit ? 0 : 1;
  const View& logits = call.in[first];
  const int32_t* labels = call.in[first + 1].as<int32_t>();
  const Out& dx = call.out[0];
  const int64_t classes = logits.last();
  const double divisor = loss_divisor(attrs, call.in[first + 1]), e = attrs.label_smoothing;
  const T* dloss = attrs.unit ? nullptr : call.in[0].as<T>();
  logit_rows(call, logits, [&](int64_t r) {
    const LogSoftmaxRow<T> log_p(logits, r);
    double scale = (dloss ? dloss[attrs.reduction == Reduction::kNone ? r : 0] : 1.0) / divisor;
    if (!ignored(attrs, labels[r]) && (labels[r] < 0 || labels[r] >= classes)) scale = NAN;
    for (int64_t k = 0; k < classes; ++k) {
      const double target = (k == labels[r] ? 1 - e : 0) + e / static_cast<double>(classes);
      const T g = ignored(attrs, labels[r]) ? T(0) : static_cast<T>(scale * (std::exp(log_p[k]) - target));
      T& out = dx.as<T>()[r * dx.ld + k];
      out = dx.write == Write::kAdd ? out + g : g;
    }
  });
}

/// Of the mean over rows or 1.
inline double soft_divisor(const Call& call, const View& logits) {
  return call.attr<CrossEntropyAttrs>().reduction == Reduction::kMean ? static_cast<double>(logits.rows()) : 1;
}

template <class T>
void cross_entropy_soft_ref(const Call& call) {
  const View &logits = call.in[0], &targets = call.in[1];
  reduce_loss<T>(call, soft_divisor(call, logits), [&](int64_t r) {
    const LogSoftmaxRow<T> log_p(logits, r);
    double loss = 0;
    for (int64_t k = 0; k < logits.last(); ++k) loss -= targets.as<T>()[r * targets.ld + k] * log_p[k];
    return loss;
  });
}

/// d/dlogits = p sum(t) - t with targets (in[2]), d/dtargets = -log p without.
template <class T>
void cross_entropy_soft_grad_ref(const Call& call) {
  const View& logits = call.in[1];
  const Out& dx = call.out[0];
  const bool none = call.attr<CrossEntropyAttrs>().reduction == Reduction::kNone;
  const T* dloss = call.in[0].as<T>();
  logit_rows(call, logits, [&](int64_t r) {
    const LogSoftmaxRow<T> log_p(logits, r);
    const double scale = dloss[none ? r : 0] / soft_divisor(call, logits);
    const T* t = call.in.size() > 2 ? call.in[2].as<T>() + r * call.in[2].ld : nullptr;
    double total = 0;
    for (int64_t k = 0; t && k < logits.last(); ++k) total += t[k];
    for (int64_t k = 0; k < logits.last(); ++k) {
      const T g = static_cast<T>(scale * (t ? std::exp(log_p[k]) * total - t[k] : -log_p[k]));
      T& out = dx.as<T>()[r * dx.ld + k];
      out = dx.write == Write::kAdd ? out + g : g;
    }
  });
}

template <class T>
void top_k_ref(const Call& call) {
  const View& logits = call.in[0];
  const int32_t* labels = call.in[1].as<int32_t>();
  int64_t right = 0;
  for (int64_t r = 0; r < logits.rows(); ++r) {
    const T* x = logits.as<T>() + r * logits.ld;
    const int64_t l = labels[r];
    if (l < 0 || l >= logits.last() || x[l] != x[l]) continue;
    int64_t above = 0;  // NaN ranks above all numbers
    for (int64_t k = 0; k < logits.last(); ++k) above += !(x[k] < x[l]) && !(x[k] == x[l] && k >= l);
    right += above < call.attr<TopKAttrs>().k;
  }
  call.out[0].as<T>()[0] = static_cast<T>(right);
}

}  // namespace mixop::kernels
