// The engine of DARTS (Liu et al. 2019) and its successors: per step one Adam step on the alphas with a validation
// batch and one SGD step on the weights with a training batch, each a plan of its own that computes only what it
// needs. What is mixed, minimised, drawn and decoded is the method's (nas/search/alpha_method.h).
#pragma once

#include <map>
#include <memory>
#include <vector>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/network.h"
#include "nas/search/alpha_method.h"
#include "nas/search/eigenvalue_stop.h"
#include "nas/search/second_order.h"

namespace mixop::nas {

struct DartsOptions {
  SupernetOptions net;
  int epochs = 50;
  double lr = 0.025, lr_min = 0.001;  ///< cosine per epoch
  autograd::Sgd weights{.momentum = 0.9, .weight_decay = 3e-4, .clip = 5};
  double arch_lr = 3e-4;
  int order = 1;  ///< 2: alphas look one step of the weights ahead (nas/search/second_order.h)
  HessianProduct hessian = HessianProduct::kFiniteDifference;  ///< of order 2
  int64_t eigenvalue_batch = 0;  ///< images that dominant_eigenvalue takes; 0: it is not asked for
  autograd::Adam arch{.beta1 = 0.5, .beta2 = 0.999, .weight_decay = 1e-3};
  uint64_t seed = 2;
};

class DartsSearch {
 public:
  /// The batch sizes that will occur: all plans are compiled before the first step, so that they share one arena.
  struct BatchSizes {
    std::vector<int64_t> train, valid, eval;
  };

  /// All batches take their images from `images`; what that refers to must outlive the search. Without a method it
  /// is DARTS, without a space the one that the method makes of options.net. Throws when the method cannot search
  /// the space.
  DartsSearch(const DartsOptions& options, const BatchSizes& sizes, kernels::DType real = kernels::DType::kF32,
              const autograd::CompileOptions& compile = {}, ImageSource images = {},
              std::unique_ptr<AlphaMethod> method = nullptr, std::unique_ptr<MixedSpace> space = nullptr);

  /// Sets the learning rate and the method's schedules of epoch 0, 1, ... of all stages; at the first of a stage
  /// the stage begins: new weights, new plans (see AlphaMethod::stages).
  void begin_epoch(int epoch);
  /// The stage in which it is, counted from 0.
  int stage() const { return stage_; }
  /// Epochs of all stages.
  int epochs() const { return options_.epochs * method_->stages(); }
  /// Where a run goes on that was stored in that stage: with tensors of that stage, whose values are to be
  /// restored.
  void resume(int stage, const Json& method);
  double learning_rate() { return stores_.optimizer.get("weights.lr"); }

  /// Adam on the alphas; weights stay as they are (running statistics of batch norm move, as in the reference
  /// code).
  Score arch_step(const Batch& valid) { return begin_arch_step(valid).get(); }
  /// Clipped SGD on the weights; alphas stay as they are, unless the method is single-level: Adam on them as well.
  Score weight_step(const Batch& train) { return begin_weight_step(train).get(); }
  /// The same without waiting for a device: the next step may begin at once.
  PendingScore begin_arch_step(const Batch& valid) { return run(StepKind::kAlphas, arch_, valid); }
  PendingScore begin_weight_step(const Batch& train);
  /// The step of the alphas of any order; the training batch, that of the weight step to come, counts in order 2.
  PendingScore begin_arch_step(const Batch& valid, const Batch& train) {
    return second_ ? second_->begin(valid, train) : begin_arch_step(valid);
  }
  /// Null in order 1.
  SecondOrder* second_order() const { return second_.get(); }
  /// Loss and accuracy with running statistics.
  Score evaluate(const Batch& batch) { return run(StepKind::kEvaluation, eval_, batch).get(); }
  /// That of the Hessian by the alphas (nas/search/eigenvalue_stop.h); nothing moves.
  double dominant_eigenvalue(const Batch& valid) { return eigenvalue_->measure(valid); }
  /// Null when options.eigenvalue_batch is 0.
  const DominantEigenvalue* eigenvalue() const { return eigenvalue_.get(); }
  /// Global L2 norm of the weight gradient of the last weight_step, before clipping.
  double gradient_norm() const;

  /// Alphas by name, "alphas_normal" [edges, operations] for one, row-major.
  std::vector<double> alphas(const std::string& table);
  /// All of them, in the order of AlphaMethod::alphas.
  std::vector<TableValues> alphas();
  /// What the alphas stand for now, as text (see AlphaMethod::decode).
  std::string architecture() { return method_->decode(*space_, alphas()); }
  /// That of the DARTS space.
  Genotype genotype() { return parse_genotype(architecture()); }

  std::vector<AlphaTensor> alpha_tensors() const { return method_->alphas(*space_); }
  /// Parameters and multiply-adds of the supernet for one image.
  NetworkSize size() const;

  AlphaMethod& method() { return *method_; }
  const MixedSpace& space() const { return *space_; }
  /// What the method's draws come from; its position is part of a search's state.
  Random& random() { return random_; }
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
  Step compile(StepKind kind, int64_t batch);
  /// The network of a batch with weights and statistics of `net`, before any step.
  BilevelLoss loss_of(Graph& g, Stores& net, StepKind kind, int64_t batch);
  /// Plans and tensors of the space.
  void build();
  /// The same of another stage, in the place of what is there.
  void rebuild();
  void next_stage();
  /// What the steps on training images move.
  StepKind weight_kind() const { return method_->single_level() ? StepKind::kBoth : StepKind::kWeights; }
  PendingScore run(StepKind kind, std::map<int64_t, Step>& steps, const Batch& batch);
  /// Draws and schedules of the method into the plan.
  void prepare(StepKind kind, autograd::Plan& plan);

  DartsOptions options_;
  BatchSizes sizes_;
  int stage_ = 0;
  std::unique_ptr<AlphaMethod> method_;
  std::unique_ptr<MixedSpace> space_;
  Random random_;
  ImageSource images_;
  Stores stores_;
  autograd::CompileOptions compile_;
  std::shared_ptr<autograd::Arena> arena_;
  std::map<int64_t, Step> arch_, weight_, eval_;  // by batch size
  std::unique_ptr<SecondOrder> second_;
  std::unique_ptr<DominantEigenvalue> eigenvalue_;
  PendingScore last_weight_step_;
};

}  // namespace mixop::nas
