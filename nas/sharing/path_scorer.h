// Architectures scored by the weights of a supernet, without training of their own.
#pragma once

#include <map>
#include <memory>

#include "nas/sharing/path_plan.h"

namespace mixop::nas {

/// What batch norms take while an architecture is scored.
enum class Statistics : uint8_t {
  kBatch,        ///< those of the batch
  kRunning,      ///< those that training has kept, of all paths together
  kRecalibrated  ///< running statistics made anew for each architecture from training batches (SPOS, Guo et al.
                 ///< 2020)
};
/// "batch", "running", "recalibrated"; parse_statistics() throws mixop::Error for anything else.
std::string_view statistics_name(Statistics statistics);
Statistics parse_statistics(const std::string& name);

class PathScorer {
 public:
  /// Batch sizes that will occur.
  struct BatchSizes {
    std::vector<int64_t> valid, recalibration{};
  };
  struct Options {
    Statistics statistics = Statistics::kBatch;
    Candidates candidates = Candidates::kChosen;
    ImageSource valid_images{}, train_images{};  ///< of scoring, of recalibration
    std::vector<std::vector<bool>> kept{};       ///< by table, see Mixing::kept; empty: all
  };
  /// The space and the stores must outlive the scorer. When the stores are bound they must hold the tensors of the
  /// supernet already; else binding is the caller's.
  PathScorer(const MixedSpace& space, Stores& stores, const Options& options, const BatchSizes& sizes,
             std::shared_ptr<autograd::Arena> arena, const autograd::CompileOptions& compile);

  Statistics statistics() const { return options_.statistics; }
  /// Loss and accuracy on a batch. With batch statistics running ones are moved, which nobody reads then.
  Score score(const Batch& valid, const PathSample& sample);

  /// kRecalibrated, for each architecture: forget all running statistics, see batches of the training data, and be
  /// done. What is kept are means over the batches with the norms' momentum m, batch i of n weighing (1 - m)^(n -
  /// i): as in the reference code, without what is left there of the values at the start.
  void begin_recalibration();
  void recalibrate(const Batch& train, const PathSample& sample);
  void end_recalibration();

  /// By batch size; empty where the statistics need none.
  const std::map<int64_t, PathPlan>& scoring_plans() const { return scoring_; }
  const std::map<int64_t, PathPlan>& recalibration_plans() const { return recalibration_; }

 private:
  PathPlan compile(bool training, int64_t batch, const ImageSource& images,
                   const std::shared_ptr<autograd::Arena>& arena, const autograd::CompileOptions& options);
  void multiply_statistics(double factor);

  const MixedSpace& space_;
  Stores& stores_;
  Options options_;
  std::map<int64_t, PathPlan> scoring_, recalibration_;
  int batches_seen_ = 0;
};

}  // namespace mixop::nas
