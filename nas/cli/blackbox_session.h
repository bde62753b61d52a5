// The loop of a black-box search as a run: evaluations.jsonl, metrics, checkpoints, resumption, stopping, the
// report.
#pragma once

#include <set>
#include <string>

#include "nas/cli/blackbox_evaluator.h"
#include "nas/cli/blackbox_front.h"
#include "nas/cli/checkpoint_store.h"
#include "nas/cli/progress.h"
#include "nas/cli/run_directory.h"
#include "nas/search/loop.h"

namespace mixop::cli {

class BlackboxSession {
 public:
  /// Files of the run directory that grow.
  static std::vector<std::string> growing() { return {"evaluations.jsonl", "metrics.jsonl"}; }

  /// All are kept by reference; `clock` runs since the process began.
  BlackboxSession(const Config& config, const nas::Space& space, nas::Strategy& strategy, RunEvaluator& judge,
                  RunDirectory& directory, Progress& progress, const nas::Stopwatch& clock);

  /// Goes on from the newest checkpoint, or sets the files back to nothing when there is none; true in the first
  /// case.
  bool restore();
  /// Runs until the search is over; false when a signal came first. Both leave a checkpoint.
  bool run();

  int64_t evaluations() const { return loop_.evaluations(); }
  /// The best architecture, its accuracy, what the search came to.
  std::string report() const;

 private:
  void record(const nas::Evaluated& evaluated);
  void checkpoint();
  /// Candidates whose weights a search resumed from that state of the loop may read or write.
  std::set<int64_t> needed_weights(const Json& state) const;
  void show();
  double share_done() const;  // of the budget
  double wall_seconds() const { return wall_before_ + clock_.elapsed(); }

  const Config& config_;
  const nas::Space& space_;
  nas::Strategy& strategy_;
  RunEvaluator& judge_;
  RunDirectory& directory_;
  Progress& progress_;
  const nas::Stopwatch& clock_;
  CheckpointStore checkpoints_;
  nas::Budget budget_;
  SearchFront front_;
  nas::SearchLoop loop_;

  double done_before_ = 0;  // share of the budget that was spent when this process began
  double wall_before_ = 0;  // of the processes before this one
  nas::Stopwatch since_start_, since_checkpoint_;
  int64_t written_ = -1;       // evaluations in the newest checkpoint
  int64_t best_written_ = -1;  // candidate in best.txt
  std::set<int64_t> needed_;   // needed_weights() of the newest checkpoint
};

}  // namespace mixop::cli
