// First-order DARTS (Liu et al. 2019): per step one Adam step on the alphas with a validation batch, then one SGD
// step on the weights with a training batch, each a plan of its own that computes only what it needs.
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/supernet.h"

namespace mixop::nas {

struct DartsOptions {
  SupernetOptions net;
  int epochs = 50;
  double lr = 0.025, lr_min = 0.001;  ///< cosine per epoch
  autograd::Sgd weights{.momentum = 0.9, .weight_decay = 3e-4, .clip = 5};
  double arch_lr = 3e-4;
  autograd::Adam arch{.beta1 = 0.5, .beta2 = 0.999, .weight_decay = 1e-3};
  uint64_t seed = 2;
};

class DartsSearch {
 public:
  /// The batch sizes that will occur: all plans are compiled before the first step, so that they share one arena.
  struct BatchSizes {
    std::vector<int64_t> train, valid, eval;
  };

  /// All batches take their images from `images`; what that refers to must outlive the search.
  DartsSearch(const DartsOptions& options, const BatchSizes& sizes, kernels::DType real = kernels::DType::kF32,
              const autograd::CompileOptions& compile = {}, ImageSource images = {});

  /// Sets the learning rate of epoch 0, 1, ...
  void begin_epoch(int epoch);
  double learning_rate() { return stores_.optimizer.get("weights.lr"); }

  /// Adam on the alphas; weights stay as they are (running statistics of batch norm move, as in the reference
  /// code).
  Score arch_step(const Batch& valid) { return begin_arch_step(valid).get(); }
  /// Clipped SGD on the weights; alphas stay as they are.
  Score weight_step(const Batch& train) { return begin_weight_step(train).get(); }
  /// The same without waiting for a device: the next step may begin at once.
  PendingScore begin_arch_step(const Batch& valid) { return run(arch_, valid); }
  PendingScore begin_weight_step(const Batch& train);
  /// Loss and accuracy with running statistics.
  Score evaluate(const Batch& batch) { return run(eval_, batch).get(); }
  /// Global L2 norm of the weight gradient of the last weight_step, before clipping.
  double gradient_norm() const;

  /// Alphas of "alphas_normal" or "alphas_reduce", [edges, operations] row-major.
  std::vector<double> alphas(const std::string& table);
  Genotype genotype();

  Stores& stores() { return stores_; }
  const DartsOptions& options() const { return options_; }
  /// A plan of the first size of its kind; for reports and tests.
  const autograd::Plan& arch_plan() const { return arch_.begin()->second.plan; }
  const autograd::Plan& weight_plan() const { return weight_.begin()->second.plan; }
  const autograd::Plan& eval_plan() const { return eval_.begin()->second.plan; }
  /// The plan of that batch size; throws std::out_of_range when there is none.
  const autograd::Plan& arch_plan(int64_t batch) const { return arch_.at(batch).plan; }
  const autograd::Plan& weight_plan(int64_t batch) const { return weight_.at(batch).plan; }
  const autograd::Plan& eval_plan(int64_t batch) const { return eval_.at(batch).plan; }
  size_t arena_bytes() const { return arena_->size(); }

 private:
  struct Step {
    Value loss, correct, norm;
    autograd::Plan plan;
  };
  enum class Kind : uint8_t { kArch, kWeight, kEval };
  Step compile(Kind kind, int64_t batch);
  PendingScore run(std::map<int64_t, Step>& steps, const Batch& batch);

  DartsOptions options_;
  ImageSource images_;
  Stores stores_;
  autograd::CompileOptions compile_;
  std::shared_ptr<autograd::Arena> arena_;
  std::map<int64_t, Step> arch_, weight_, eval_;  // by batch size
  PendingScore last_weight_step_;
};

}  // namespace mixop::nas
