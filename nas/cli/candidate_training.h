// Training of one candidate of a search: from scratch or from its parent's weights, on a part of the data, scored
// on another part.
#pragma once

#include <memory>

#include "nas/cli/candidate_workers.h"
#include "nas/cli/run_data.h"
#include "nas/space/space.h"
#include "nas/train.h"

namespace mixop::cli {

/// The keys that a candidate's training depends on: the space, the seed of the search, train.*, data.*, the device.
std::vector<Key> candidate_keys();

/// The training images of a data set in two parts, drawn once and for all: neither the search's seed nor the
/// candidate changes them, so that accuracies can be compared.
struct CandidateData {
  datasets::Dataset all;
  std::vector<int64_t> train, validation;
};
/// Throws mixop::Error when the images do not suffice, and what the readers throw.
CandidateData open_candidate_data(const Config& config);

/// How the network is sized and trained; a space may choose learning rate, optimiser (sgd, adam, adamw) and
/// augmentation (none, or of crop, flip, cutout some joined by +) of an architecture itself, which beats the
/// configuration.
class CandidateTraining {
 public:
  /// Throws mixop::Error when the architecture cannot be built on these images.
  CandidateTraining(const Config& config, const nas::Space& space, const nas::Candidate& candidate,
                    const CandidateData& data);

  /// Copies tensors of equal name and shape from the safetensors file of another candidate; returns how many.
  int64_t inherit(const std::string& file);
  /// Trains; a loss that is not finite and a first epoch no better than chance (train.early_stop) are failures.
  CandidateResult run();
  void keep(const std::string& file);

 private:
  nas::Score validate();

  const Config& config_;
  int64_t classes_;
  nas::ResidentImages resident_;
  std::unique_ptr<datasets::Loader> train_loader_, validation_loader_;
  std::unique_ptr<nas::NetworkTraining> training_;
  int64_t steps_;  // in all: a last epoch may be cut short
  nas::Ledger ledger_;
};

/// The network's scale on that data.
nas::NetworkScale candidate_scale(const Config& config, const datasets::Dataset& data);

}  // namespace mixop::cli
