// The loop of a run: epochs, steps, evaluations, metrics, checkpoints, resumption and stopping.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/checkpoint_store.h"
#include "nas/cli/progress.h"
#include "nas/cli/task.h"

namespace mixop::cli {

/// Steps or epochs between checkpoints; the other is 0.
struct CheckpointInterval {
  int64_t steps = 0, epochs = 0;
  /// "100" steps or "1ep" epochs; throws UsageError.
  static CheckpointInterval parse(const std::string& text);
};

class Session {
 public:
  enum class Outcome : uint8_t { kDone, kStopped, kInterrupted };

  /// All are kept by reference; `ledger` holds what setting up has cost, `clock` runs since the process began.
  Session(const Config& config, RunDirectory& directory, Progress& progress, Task& task, nas::Ledger& ledger,
          const nas::Stopwatch& clock);

  /// Goes on from the newest checkpoint, or sets everything back to the start when there is none;
  /// true in the first case.
  bool restore();
  /// Runs to the end, to --max-steps or to a signal; the last two leave a checkpoint. Throws mixop::Error when a
  /// loss is not finite.
  Outcome run();

  const Evaluations& evaluations() const { return evaluations_; }
  int64_t steps_done() const { return at_.total; }

 private:
  /// Where the run is: `step` of `epoch` is the next one; total counts over all epochs.
  struct Position {
    int epoch = 0;
    int64_t step = 0, total = 0;
  };

  Outcome loop();
  void one_step();
  /// Waits until the scores hold all steps; throws when a loss is not finite.
  void settle();
  /// Counts the images of steps whose scores came in, and looks at the losses.
  void take_scores(int64_t images_before);
  /// Evaluation, lines and checkpoint at the end of an epoch; false when a signal broke the evaluation off.
  bool finish_epoch();
  void checkpoint(bool scheduled);
  bool evaluation_due(int epoch) const;
  void check_finite(const nas::Score& score, const std::string& phase) const;
  /// The weights' score, or of an epoch without any that of another phase.
  const nas::Score& latest() const;
  /// Of the weights' steps since the last call.
  double images_per_second();
  void log_scores(const char* kind, double rate);
  void add_metrics(const char* kind, const std::string& phase, const nas::Score& score, double rate);
  void show(const nas::Score& score, int64_t done, int64_t all, bool evaluating);
  double seconds_left() const;
  double wall_seconds() const { return wall_before_ + clock_.elapsed(); }
  Json state();

  const Config& config_;
  RunDirectory& directory_;
  Progress& progress_;
  Task& task_;
  nas::Ledger& ledger_;
  const nas::Stopwatch& clock_;
  CheckpointStore checkpoints_;

  Position at_;
  std::vector<std::string> phases_;
  std::vector<nas::Score> scores_;  // by phase, of this epoch so far
  CheckpointInterval every_;
  Evaluations evaluations_;
  double wall_before_ = 0;     // of the processes before this one
  int64_t last_written_ = -1;  // total steps of the newest checkpoint
  int64_t images_timed_ = 0;   // since the last line of metrics
  nas::Stopwatch timed_;
};

}  // namespace mixop::cli
