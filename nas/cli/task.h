// What a run repeats: the parts in which a search and a training differ.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "datasets/loader.h"
#include "nas/batch.h"
#include "nas/cli/config.h"
#include "nas/cli/run_directory.h"
#include "nas/ledger.h"
#include "nas/supernet.h"

namespace mixop::cli {

/// The last evaluation, and the best one so far.
struct Evaluations {
  int last_epoch = -1, best_epoch = -1;
  nas::Score last, best;
  void add(int epoch, const nas::Score& score);
};

/// Scores of steps that may still be going on, added up when too many wait or someone asks.
class ScoreQueue {
 public:
  /// On a device the host looks at numbers every so many steps only.
  static constexpr size_t kMost = 32;

  /// Books the counts of a step at once. Waits for none when there is room, for all when there is not. `index` is
  /// that of the phase's score.
  void add(const nas::PendingScore& score, size_t index, nas::Phase phase, const nas::Cost& cost,
           std::vector<nas::Score>& scores, nas::Ledger& ledger);
  /// Waits for all and books their seconds.
  void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger);

 private:
  struct Waiting {
    nas::PendingScore score;
    size_t index;
    nas::Phase phase;
  };
  std::vector<Waiting> waiting_;
  nas::Stopwatch since_first_;
  double data_before_ = 0;
};

/// The tensors of a store move through checkpoints as a whole; what else a task remembers goes through state().
class Task {
 public:
  virtual ~Task() = default;

  virtual int epochs() const = 0;
  virtual int64_t steps_per_epoch() const = 0;
  virtual int64_t evaluation_batches() const = 0;
  /// Names in the metrics of the scores of a step, the weights' last: "train_a", "train_w"; and of an evaluation.
  virtual std::vector<std::string> step_phases() const = 0;
  virtual std::string evaluation_phase() const = 0;

  virtual void begin_epoch(int epoch) = 0;
  virtual double learning_rate() = 0;
  /// One step; adds to the scores in the order of step_phases() and books its costs. On a device scores may lag
  /// behind until settle().
  virtual void step(std::vector<nas::Score>& scores, nas::Ledger& ledger) = 0;
  /// Waits until the scores hold all steps.
  virtual void settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) = 0;
  /// Loss and accuracy over all evaluation images, or nothing when `go_on` (asked after each batch) said no.
  using GoOn = std::function<bool(const nas::Score& so_far, int64_t batches)>;
  virtual std::optional<nas::Score> evaluate(nas::Ledger& ledger, const GoOn& go_on) = 0;
  /// After the steps and the evaluation of an epoch.
  virtual void end_epoch(int, RunDirectory&) {}
  /// Files of the run directory that are renewed with every checkpoint.
  virtual void write_files(RunDirectory&) const {}

  virtual nas::Stores& stores() = 0;
  virtual std::vector<std::pair<std::string, datasets::Loader*>> loaders() = 0;
  virtual Json state() const { return Json::object(); }
  virtual void restore(const Json&) {}

  /// Which implementation each call of the plans uses: recorded, so that a resumed run uses the same.
  virtual autograd::Choices choices() const = 0;
  /// The "data" part of run.json: names, sizes and checksums.
  virtual Json data() const = 0;
  virtual int64_t parameters() const = 0;
  /// What the plans will still allocate on their device.
  virtual size_t device_bytes() const = 0;
  /// Sizes and memory, for --dry-run and the start of the log.
  virtual std::string describe() const = 0;
  /// The result on stdout; `finished` is false when --max-steps ended the run early.
  virtual std::string report(RunDirectory& directory, const Evaluations& evaluations, bool finished) = 0;
};

/// Adds the choices of a plan.
void add_choices(autograd::Choices& all, const autograd::Plan& plan);

/// Adds one run of a plan, known by its cost, that took so long.
void book(nas::Ledger& ledger, nas::Phase phase, nas::Cost cost, double seconds);

/// The body of Task::evaluate: one pass of the loader, whose cursor goes back when the pass is broken off.
std::optional<nas::Score> evaluate_over(datasets::Loader& loader, const std::map<int64_t, nas::Cost>& costs,
                                        nas::Ledger& ledger, const Task::GoOn& go_on,
                                        const std::function<nas::Score(const nas::Batch&)>& evaluate);

/// What a run will hold in memory, in all and by plan; `data` counts the bytes of the images.
std::string describe_memory(nas::Stores& stores, size_t arena, size_t data,
                            const std::vector<std::pair<std::string, const autograd::Plan*>>& plans);

}  // namespace mixop::cli
