// Training of a derived network as a task.
#pragma once

#include <map>

#include "nas/cli/class_report.h"
#include "nas/cli/run_data.h"
#include "nas/cli/task.h"
#include "nas/cli/train_options.h"

namespace mixop::cli {

class TrainTask final : public Task {
 public:
  /// Opens the data, compiles all plans and, unless a checkpoint will replace them (`goes_on`), fetches the first
  /// weights of --from. Throws what those do.
  TrainTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile, bool goes_on);

  int epochs() const override { return options_.epochs; }
  int64_t steps_per_epoch() const override { return train_loader_->batches_per_epoch(); }
  int64_t evaluation_batches() const override { return test_loader_->batches_per_epoch(); }
  std::vector<std::string> step_phases() const override { return {"train"}; }
  std::string evaluation_phase() const override { return "test"; }

  void begin_epoch(int epoch) override;
  double learning_rate() override { return training_->learning_rate(); }
  void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) override;

  void end_epoch(int epoch, RunDirectory& directory) override;
  /// Confusion matrix and scores by class of the last and of the best evaluation.
  void write_files(RunDirectory& directory) const override;

  nas::Stores& stores() override { return training_->stores(); }
  std::vector<std::pair<std::string, datasets::Loader*>> loaders() override;

  Json state() const override;
  void restore(const Json& state) override;

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
  std::string transferred_;  // a line about the weights of --from, or nothing
  std::unique_ptr<datasets::Loader> train_loader_, test_loader_;
  nas::ResidentImages resident_;
  std::unique_ptr<nas::NetworkTraining> training_;
  ScoreQueue queue_;
  nas::Confusion last_, best_;                           // of no images before the first evaluation
  int evaluated_ = -1, epoch_ = 0;                       // the epoch of last_, and the one under way
  std::map<int64_t, nas::Cost> train_cost_, test_cost_;  // of one run, by batch size
};

}  // namespace mixop::cli
