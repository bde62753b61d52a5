// The ENAS search as a task. The steps of an epoch are those of the weights, one a training batch, and then one for
// each sample of the controller, so that a run may stop between any two samples.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nas/cli/run_data.h"
#include "nas/cli/table_score.h"
#include "nas/cli/task.h"
#include "nas/search/enas.h"

namespace mixop::cli {

class EnasTask final : public Task {
 public:
  /// Opens the data and compiles all plans. Throws what those do.
  EnasTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile);

  int epochs() const override { return options_.epochs; }
  int64_t steps_per_epoch() const override;
  int64_t evaluation_batches() const override { return eval_loader_->batches_per_epoch(); }
  std::vector<std::string> step_phases() const override { return {"reward", "train_w"}; }
  std::string evaluation_phase() const override { return "valid"; }

  void begin_epoch(int epoch) override;
  double learning_rate() override { return search_->learning_rate(); }
  void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  /// Every batch as another architecture drawn from the controller.
  std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) override;
  void end_epoch(int epoch, RunDirectory& directory) override;

  nas::Stores& stores() override { return search_->stores(); }
  std::vector<std::pair<std::string, datasets::Loader*>> loaders() override;
  Json state() const override;
  void restore(const Json& state) override;

  autograd::Choices choices() const override;
  Json data() const override;
  int64_t parameters() const override { return search_->stores().weights.elements(); }
  size_t device_bytes() const override { return search_->arena_bytes(); }
  std::string describe() const override;
  std::string report(RunDirectory& directory, const Evaluations& evaluations, bool finished) override;

 private:
  struct Candidate {
    nas::Arch arch;
    nas::Score quick, full;  ///< on one batch, and on all validation images
  };
  /// What the controller did in an epoch so far: sums over its samples.
  struct Samples {
    int64_t count = 0;
    double accuracy = 0, entropy = 0;
  };
  nas::SharedNetwork network(const Config& config);
  nas::Score on_one_batch(const nas::Arch& arch, int64_t number);
  std::string choose_best(RunDirectory& directory);
  std::string score_by_table(const nas::Arch& found);

  nas::EnasOptions options_;
  std::unique_ptr<nas::Space> space_;
  std::shared_ptr<const nas::MixedSpace> mixed_;  // of enas-nb201, as is the table
  std::unique_ptr<TableScore> table_;
  int64_t candidates_, finalists_;
  datasets::Dataset train_;
  std::unique_ptr<datasets::Loader> train_loader_, valid_loader_, eval_loader_;
  nas::ResidentImages resident_;
  std::unique_ptr<nas::EnasSearch> search_;
  ScoreQueue queue_;
  std::map<int64_t, nas::Cost> weight_cost_, score_cost_;  // of one run, by batch size
  int epoch_ = 0;
  int64_t step_ = 0;                                // within the epoch
  Samples samples_, first_samples_, last_samples_;  // of this epoch, the first and the last whole one
  std::vector<Candidate> evaluated_;                // of the last evaluation
};

}  // namespace mixop::cli
