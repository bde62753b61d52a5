// Training a supernet by sampled paths: each minibatch sees another network, and only weights are trained.
#pragma once

#include "nas/sharing/path_dropout.h"
#include "nas/sharing/path_scorer.h"

namespace mixop::nas {

struct PathOptions {
  int epochs = 50;
  enum class Schedule : uint8_t { kCosine, kLinear } schedule = Schedule::kCosine;  ///< per epoch
  double lr = 0.025, lr_min = 0.001;
  autograd::Sgd weights{.momentum = 0.9, .weight_decay = 3e-4, .clip = 5};
  double label_smoothing = 0;
  uint64_t seed = 0;
  Candidates candidates = Candidates::kChosen;  ///< of training and scoring
  /// In place of single paths: each ghost batch of this many images has its own sum of candidates and its own batch
  /// statistics, and weight decay, added before clipping, takes hold of a candidate in proportion to the ghost
  /// batches that keep it (one-shot training, Bender et al. 2018). 0: none.
  int64_t ghost = 0;
};

class PathSearch {
 public:
  struct BatchSizes {
    std::vector<int64_t> train, valid, recalibration{};
  };
  /// All plans are compiled before the first step, so that they share one arena. `scoring` says how architectures
  /// are scored; its candidates are those of `options`.
  PathSearch(std::shared_ptr<const MixedSpace> space, const PathOptions& options, PathScorer::Options scoring,
             const BatchSizes& sizes, kernels::DType real = kernels::DType::kF32,
             const autograd::CompileOptions& compile = {});

  /// Sets the learning rate of epoch 0, 1, ...
  void begin_epoch(int epoch);
  double learning_rate() { return stores_.optimizer.get("weights.lr"); }
  /// One clipped SGD step on the sample's network. Weights off its path have gradient 0; momentum and decay move
  /// them all the same, as in the reference codes.
  PendingScore begin_step(const Batch& train, const PathSample& sample) { return begin_step(train, {&sample, 1}); }
  Score step(const Batch& train, const PathSample& sample) { return begin_step(train, sample).get(); }
  /// The same with a sample for each ghost batch.
  PendingScore begin_step(const Batch& train, std::span<const PathSample> samples);
  /// How many samples a batch of that size takes.
  size_t samples(int64_t batch) const;
  /// Global L2 norm of the gradient of the last step, before clipping.
  double gradient_norm() const;

  PathScorer& scorer() { return *scorer_; }
  const MixedSpace& space() const { return *space_; }
  Stores& stores() { return stores_; }
  const std::map<int64_t, PathPlan>& training_plans() const { return train_; }
  size_t arena_bytes() const { return arena_->size(); }

 private:
  PathPlan compile(int64_t batch, const ImageSource& images, const autograd::CompileOptions& options);
  /// The logits of a batch; `tables` gets those of its samples.
  Value build(Graph& g, Value images, std::vector<std::vector<Value>>& tables);

  std::shared_ptr<const MixedSpace> space_;
  PathOptions options_;
  Stores stores_;
  std::shared_ptr<autograd::Arena> arena_;
  std::map<int64_t, PathPlan> train_;  // by batch size
  std::unique_ptr<PathScorer> scorer_;
  PendingScore last_step_;
};

}  // namespace mixop::nas
