// Early stopping of a search of alphas by the dominant eigenvalue of the Hessian of the validation loss with
// respect to the alphas: where it rises, the loss at the discretised architecture departs from that of the supernet
// (Zela et al. 2020, "Understanding and robustifying differentiable architecture search").
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "nas/json.h"
#include "nas/search/second_order.h"

namespace mixop::nas {

/// The eigenvalue of largest magnitude, by power iteration with exact Hessian-vector products: a handful of them in
/// place of the 2 n gradients (448 for DARTS) that differences would take for the whole matrix.
class DominantEigenvalue {
 public:
  /// Compiles plans for one batch size into the arena. `stores` and what `network` refers to must outlive this.
  DominantEigenvalue(Stores& stores, const BilevelNetwork& network, int64_t batch,
                     const autograd::CompileOptions& compile, std::shared_ptr<autograd::Arena> arena);

  /// Its magnitude for the mean loss of this batch. The start is the same each time; it ends when the estimate
  /// moves by less than 1e-4 of itself, or after 100 products. Nothing of the search is changed.
  double measure(const Batch& valid);
  /// H x of that loss; x in the order of stores.alphas.
  std::vector<double> product(const Batch& valid, const std::vector<double>& x);
  /// That of a product; for reports.
  const autograd::Plan& plan() const { return *product_; }

 private:
  autograd::Plan compile_start(const autograd::CompileOptions& compile);
  autograd::Plan compile_product(const BilevelNetwork& network, const autograd::CompileOptions& compile);

  Stores& stores_;
  int64_t batch_;
  std::shared_ptr<autograd::Arena> arena_;
  NetworkCopy copy_;  // running statistics of its own
  TensorStore start_, x_, kept_;
  Value norm_, image_;
  std::unique_ptr<autograd::Plan> product_, begin_;
};

/// When to stop: the mean of the last 5 values is more than `factor` times that of the 5 that were the last 4
/// measurements before, and `first_epoch` epochs have passed (the paper's code). Then the alphas of the middle of
/// the earlier five are taken, those from before the rise.
class EigenvalueStop {
 public:
  static constexpr int kWindow = 5, kLag = 4, kFirstEpoch = 10;

  explicit EigenvalueStop(double factor) : factor_(factor) {}
  /// Notes the value after `epoch`, counted from 0. Once it has stopped it stays so.
  void add(int epoch, double value);
  /// The epoch whose alphas are to be taken; nothing while the search may go on.
  std::optional<int> stopped() const { return stopped_; }
  const std::vector<std::pair<int, double>>& values() const { return values_; }

  Json save() const;
  void load(const Json& state);

 private:
  double factor_;
  std::vector<std::pair<int, double>> values_;  // epoch, eigenvalue
  std::optional<int> stopped_;
};

}  // namespace mixop::nas
