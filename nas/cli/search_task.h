// A search that learns alphas as a task: the supernet, its two halves of the training data and the alphas' history.
#pragma once

#include <map>
#include <optional>

#include "nas/cli/run_data.h"
#include "nas/cli/table_score.h"
#include "nas/cli/task.h"
#include "nas/search/darts.h"

namespace mixop::cli {

/// What a configuration says of the search and of its supernet for images of that data. Throws mixop::Error for
/// sizes that are impossible.
nas::DartsOptions search_options(const Config& config, const datasets::Dataset& data);

class SearchTask final : public Task {
 public:
  /// Opens the data and compiles all plans. Throws what those do.
  SearchTask(const nas::AlphaMethodInfo& method, Config& config, nas::Ledger& ledger,
             const autograd::CompileOptions& compile);

  int epochs() const override {
    return stop_ && stop_->stopped() ? stop_->values().back().first + 1 : search_->epochs();
  }
  int64_t steps_per_epoch() const override { return train_loader_->batches_per_epoch(); }
  int64_t evaluation_batches() const override { return eval_loader_->batches_per_epoch(); }
  std::vector<std::string> step_phases() const override;
  std::string evaluation_phase() const override { return "valid"; }

  void begin_epoch(int epoch) override;
  double learning_rate() override { return search_->learning_rate(); }
  void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) override;
  void end_epoch(int epoch, RunDirectory& directory) override;
  void write_files(RunDirectory& directory) const override;

  nas::Stores& stores() override { return search_->stores(); }
  std::vector<std::pair<std::string, datasets::Loader*>> loaders() override;
  Json state() const override;
  void restore(const Json& state) override;

  autograd::Choices choices() const override;
  Json data() const override;
  int64_t parameters() const override;
  size_t device_bytes() const override { return search_->arena_bytes(); }
  std::string describe() const override;
  std::string report(RunDirectory& directory, const Evaluations& evaluations, bool finished) override;

 private:
  using Table = std::vector<float>;  // row-major

  /// Of the plans as they are.
  void count_costs();
  void arch_step(std::vector<nas::Score>& scores, nas::Ledger& ledger);
  void weight_step(std::vector<nas::Score>& scores, nas::Ledger& ledger);
  /// Both with one training batch, as second order wants it.
  void step_ahead(std::vector<nas::Score>& scores, nas::Ledger& ledger);
  /// The dominant eigenvalue, for the first batch of evaluations.
  void measure_eigenvalue(nas::Ledger& ledger);
  /// That of the epoch at which the search ended, or of the alphas as they are.
  std::string found() const;

  nas::DartsOptions options_;
  datasets::Dataset train_;
  std::unique_ptr<datasets::Loader> train_loader_, valid_loader_, eval_loader_;
  nas::ResidentImages resident_;
  nas::ImageSource images_;  // of all plans
  autograd::CompileOptions compile_;
  std::unique_ptr<nas::DartsSearch> search_;
  std::unique_ptr<TableScore> table_;
  ScoreQueue queue_;
  int epoch_ = 0;                                                     // of the stage
  std::map<int64_t, nas::Cost> arch_cost_, weight_cost_, eval_cost_;  // of one run, by batch size
  std::map<std::string, std::vector<Table>> history_;                 // per table of alphas, after each epoch
  std::optional<nas::EigenvalueStop> stop_;
};

}  // namespace mixop::cli
