// The search of ENAS (Pham et al. 2018): an epoch of training shared weights, each minibatch as another
// architecture drawn from a controller, alternates with updates of the controller, whose reward is the accuracy on
// one minibatch of validation images.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <vector>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/network.h"
#include "nas/search/enas_controller.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// A network that is any architecture of a space, by choices of its graph.
struct SharedNetwork {
  NetworkBuilder build;
  std::function<std::vector<int32_t>(const Arch&)> choices;  ///< for Plan::choose()
  int64_t height = 32, width = 32, image_channels = 3;
};

/// The supernet of a space as such a network: the choices of an architecture's path are all that it needs.
SharedNetwork shared_network(std::shared_ptr<const MixedSpace> space);

/// Defaults are those of the micro script; macro() has the other's, nb201() those of the benchmark.
struct EnasOptions {
  EnasControllerOptions controller;
  int epochs = 150;
  double lr = 0.05, lr_min = 0.0005;  ///< cosine per epoch with warm restarts
  int64_t period = 10, factor = 2;    ///< epochs until the first restart, and how much longer each later one takes
  bool wave = false;                  ///< no restarts: the cosine rises again, a period down and a period up
  double l2 = 1e-4;                   ///< the loss has l2 * sum of squares of all weights, without 1/2
  autograd::Sgd weights{.momentum = 0.9, .nesterov = true};  ///< weight_decay is set from l2
  double auxiliary_weight = 0.4;
  int updates = 30;  ///< of the controller after each epoch
  uint64_t seed = 0;

  static EnasOptions macro();
  static EnasOptions nb201();
};

class EnasSearch {
 public:
  /// The batch sizes that will occur: all plans are compiled before the first step, so that they share one arena.
  struct BatchSizes {
    std::vector<int64_t> train, score;
  };

  EnasSearch(const EnasOptions& options, SharedNetwork network, const BatchSizes& sizes,
             kernels::DType real = kernels::DType::kF32, const autograd::CompileOptions& compile = {},
             ImageSource images = {});

  /// Sets the learning rate of epoch 0, 1, ...
  void begin_epoch(int epoch);
  double learning_rate() { return stores_.optimizer.get("weights.lr"); }

  /// SGD on the weights as an architecture drawn from the controller. All weights decay and keep their momentum,
  /// also those that the architecture does not use, as in the authors' code.
  PendingScore begin_weight_step(const Batch& train);
  /// Draws an architecture, takes its accuracy as reward and lets the controller learn.
  Score reward_step(const Batch& valid);
  /// How the architecture does with the shared weights, measured as rewards are.
  Score score(const Arch& arch, const Batch& batch);
  /// Drawn from the controller with random numbers of one's own.
  EnasSample sample(Random& random) const { return controller_.sample(random); }

  /// What the last begin_weight_step() or reward_step() drew.
  const EnasSample& last_sample() const { return last_; }
  EnasController& controller() { return controller_; }
  Stores& stores() { return stores_; }
  const EnasOptions& options() const { return options_; }
  /// The plan of that batch size; throws std::out_of_range when there is none.
  const autograd::Plan& weight_plan(int64_t batch) const { return weight_.at(batch).plan; }
  const autograd::Plan& score_plan(int64_t batch) const { return score_.at(batch).plan; }
  size_t arena_bytes() const { return arena_->size(); }

  /// The controller and the random numbers; the rest is in the stores.
  Json save() const;
  void load(const Json& state);

 private:
  struct Step {
    Value loss, correct;
    autograd::Plan plan;
  };
  Step compile(bool training, int64_t batch);
  PendingScore run(std::map<int64_t, Step>& steps, const Arch& arch, const Batch& batch);

  EnasOptions options_;
  SharedNetwork network_;
  ImageSource images_;
  EnasController controller_;
  Random random_;
  EnasSample last_;
  Stores stores_;
  autograd::CompileOptions compile_;
  std::shared_ptr<autograd::Arena> arena_;
  std::map<int64_t, Step> weight_, score_;  // by batch size
};

}  // namespace mixop::nas
