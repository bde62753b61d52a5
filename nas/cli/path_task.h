// A search by sampled paths as a task: the supernet is trained first; then each round of the selection is an epoch
// whose steps score one architecture each; with a benchmark table a last round measures how the supernet ranks.
#pragma once

#include <map>

#include "nas/cli/path_keys.h"
#include "nas/cli/path_limits.h"
#include "nas/cli/run_data.h"
#include "nas/cli/table_score.h"
#include "nas/cli/task.h"
#include "nas/sharing/path_search.h"
#include "nas/sharing/path_selection.h"

namespace mixop::cli {

class PathTask final : public Task {
 public:
  /// Opens the data and compiles all plans. Throws what those do.
  PathTask(const PathMethod& method, Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile);

  int epochs() const override { return training_epochs_ + selection_->rounds() + (*table_ ? 1 : 0); }
  int64_t steps_per_epoch() const override;
  int64_t evaluation_batches() const override { return eval_loader_->batches_per_epoch(); }
  std::vector<std::string> step_phases() const override { return {"score", "train"}; }
  std::string evaluation_phase() const override { return "valid"; }

  void begin_epoch(int epoch) override;
  double learning_rate() override { return search_->learning_rate(); }
  void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) override;
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) override { queue_.settle(scores, ledger); }
  /// Of a uniformly drawn architecture while the supernet is trained, of the best one from then on.
  std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) override;
  void end_epoch(int epoch, RunDirectory& directory) override;
  void write_files(RunDirectory& directory) const override;

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
  void open_data(Config& config, bool resident);
  void make_selection(const Config& config, const PathMethod& method);
  bool training() const { return epoch_ < training_epochs_; }
  void train(std::vector<nas::Score>& scores, nas::Ledger& ledger);
  /// What the next step of training carries out.
  std::vector<nas::PathSample> draw(int64_t step, int64_t batch);
  /// On the next `batches` of the loader, or all.
  nas::Score score(const nas::PathSample& path, datasets::Loader& loader, int64_t batches, nas::Ledger& ledger);
  void recalibrate(const nas::PathSample& path, nas::Ledger& ledger);
  const nas::Space& space() const { return search_->space().space(); }
  nas::Arch best() const { return selection_->answer(history_); }

  const int training_epochs_;
  const int64_t recalibration_batches_;
  const uint64_t seed_;
  const double path_dropout_;  // negative: single paths
  datasets::Dataset train_;
  std::unique_ptr<datasets::Loader> train_loader_, valid_loader_, eval_loader_, recalibration_loader_;
  nas::ResidentImages resident_;
  std::unique_ptr<nas::PathSearch> search_;
  std::unique_ptr<PathLimits> limits_;
  std::unique_ptr<nas::PathSelection> selection_;
  std::unique_ptr<TableScore> table_;
  ScoreQueue queue_;
  std::map<int64_t, nas::Cost> train_cost_, score_cost_, recalibration_cost_;  // of one run, by batch size

  nas::Random random_;
  int epoch_ = 0;
  int planned_ = -1;           // the round that `round_` is of
  nas::SelectionRound round_;  // its first steps are done: they are in the history, or in the ranking
  size_t scored_ = 0;          // of the round
  std::vector<nas::ScoredPath> history_, ranking_;
};

}  // namespace mixop::cli
