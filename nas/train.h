// Training of a network from scratch (reference 1.6).
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/confusion.h"
#include "nas/network.h"

namespace mixop::nas {

enum class LrSchedule : uint8_t {
  kCosine,   ///< from lr to lr_min over all epochs
  kStep,     ///< lr times lr_gamma for each epoch
  kRestarts  ///< cosines from lr to lr_min of lr_period epochs, 2 lr_period, 4 lr_period, ... (Loshchilov and
             ///< Hutter 2017)
};

struct TrainOptions {
  NetworkOptions net;
  NetworkBuilder build{};  ///< in place of the network of `net`, whose image size and channels still hold
  int epochs = 600;
  double lr = 0.025, lr_min = 0;
  LrSchedule lr_schedule = LrSchedule::kCosine;  ///< by epoch
  double lr_gamma = 0.97;
  int lr_period = 10;
  autograd::Sgd sgd{.momentum = 0.9, .weight_decay = 3e-4, .clip = 5};
  std::optional<autograd::Adam> adam{};  ///< in place of sgd
  double auxiliary_weight = 0.4, label_smoothing = 0;
  double drop_path_prob = 0.2;  ///< reached linearly: epoch / epochs of it is in force
  int64_t scheduled_steps = 0;  ///< not 0: ScheduledDropPath over so many steps in place of that
  uint64_t seed = 0;
};

double learning_rate(const TrainOptions& options, int epoch);

class NetworkTraining {
 public:
  /// The batch sizes that will occur in training and in evaluation.
  NetworkTraining(const TrainOptions& options, const std::vector<int64_t>& train_sizes,
                  const std::vector<int64_t>& eval_sizes, kernels::DType real = kernels::DType::kF32,
                  const autograd::CompileOptions& compile = {}, ImageSource train_images = {},
                  ImageSource eval_images = {});

  /// Sets learning rate and drop-path probability of epoch 0, 1, ...
  void begin_epoch(int epoch);
  /// The choices of a network that has some (Plan::choose), from the next step on.
  void choose(std::span<const int32_t> values);
  double learning_rate() { return stores_.optimizer.get("weights.lr"); }
  /// One SGD step; the loss reported includes the auxiliary part.
  Score step(const Batch& batch) { return begin_step(batch).get(); }
  /// The same without waiting for a device: the next step may begin at once.
  PendingScore begin_step(const Batch& batch) { return last_step_ = run(train_, batch); }
  /// Waits for the batch; its answers are counted in `confusion` when given.
  Score evaluate(const Batch& batch, Confusion* confusion = nullptr);
  /// Global L2 norm of the gradient of the last step, before clipping; of Adam only when it clips.
  double gradient_norm() const;

  Stores& stores() { return stores_; }
  const autograd::Plan& train_plan() const { return train_.begin()->second.plan; }
  const autograd::Plan& eval_plan() const { return eval_.begin()->second.plan; }
  /// The plan of that batch size; throws std::out_of_range when there is none.
  const autograd::Plan& train_plan(int64_t batch) const { return train_.at(batch).plan; }
  const autograd::Plan& eval_plan(int64_t batch) const { return eval_.at(batch).plan; }
  size_t arena_bytes() const { return arena_->size(); }

 private:
  struct Step {
    Value loss, correct, norm, logits;  // norm in training, logits in evaluation
    autograd::Plan plan;
  };
  Step compile(bool training, int64_t batch);
  PendingScore run(std::map<int64_t, Step>& steps, const Batch& batch);

  TrainOptions options_;
  ImageSource train_images_, eval_images_;
  Stores stores_;
  autograd::CompileOptions compile_;
  std::shared_ptr<autograd::Arena> arena_;
  std::map<int64_t, Step> train_, eval_;
  PendingScore last_step_;
};

}  // namespace mixop::nas
