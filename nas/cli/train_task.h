// Training of a derived network as a task.
#pragma once

#include <map>

#include "nas/cli/run_data.h"
#include "nas/cli/task.h"
#include "nas/train.h"

namespace mixop::cli {

/// What the configuration says about the network and its training.
nas::TrainOptions train_options(const Config& config, const datasets::Dataset& data);

class TrainTask final : public Task {
 public:
  /// Opens the data and compiles all plans. Throws what those do.
  TrainTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile);

  int epochs() const override { return options_.epochs; }
  int64_t steps_per_epoch() const override { return train_loader_->batches_per_epoch(); }
  int64_t evaluation_batches() const override { return test_loader_->batches_per_epoch(); }
  std::vector<std::string> step_phases() const override { return {"train"}; }
  std::string evaluation_phase() const override { return "test"; }

  void begin_epoch(int epoch) override { training_->begin_epoch(epoch); }
  double learning_rate() override { return training_->learning_rate(); }
  void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) override;

  nas::Stores& stores() override { return training_->stores(); }
  std::vector<std::pair<std::string, datasets::Loader*>> loaders() override;

  autograd::Choices choices() const override;
  Json data() const override;
  int64_t parameters() const override { return size_.parameters; }
  size_t device_bytes() const override { return training_->arena_bytes(); }
  std::string describe() const override;
  std::string report(RunDirectory& directory, const Evaluations& evaluations, bool finished) override;

 private:
  nas::TrainOptions options_;
  nas::NetworkSize size_;
  datasets::Split split_;
  datasets::Augment normalisation_;
  std::unique_ptr<datasets::Loader> train_loader_, test_loader_;
  nas::ResidentImages resident_;
  std::unique_ptr<nas::NetworkTraining> training_;
  ScoreQueue queue_;
  std::map<int64_t, nas::Cost> train_cost_, test_cost_;  // of one run, by batch size
};

}  // namespace mixop::cli
