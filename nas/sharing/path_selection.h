// Which architectures of a trained supernet are scored, and which of them is the answer.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "nas/random.h"
#include "nas/sharing/path_plan.h"

namespace mixop::nas {

struct ScoredPath {
  Arch arch;  ///< or what else a selection scores
  int round = 0;
  double accuracy = 0;  ///< on validation images with the supernet's weights, in per cent
};

/// What a round scores.
struct SelectionRound {
  std::vector<Arch> archs;
  int64_t batches = 0;  ///< of the validation images for each of them; 0: all
};

/// Plans round after round; all state is the history of what was scored, so that a search resumes from that.
class PathSelection {
 public:
  virtual ~PathSelection() = default;
  virtual int rounds() const = 0;
  /// What round 0, 1, ... scores, given all that the rounds before it scored.
  virtual SelectionRound plan(int round, const std::vector<ScoredPath>& history, Random& random) const = 0;
  /// The network that is to be scored for an entry of a round. By default that of an architecture.
  virtual PathSample network(const MixedSpace& space, const Arch& entry) const { return one_path(space, entry); }
  /// The answer, given all that was scored so far (not empty).
  virtual Arch answer(const std::vector<ScoredPath>& history) const = 0;
  /// What an entry of the history is, in words; empty: its architecture.
  virtual std::string format(const ScoredPath&, const std::vector<ScoredPath>& /*history*/) const { return ""; }
};

/// Whether an architecture keeps within the limits of a search; empty: any does.
using Admits = std::function<bool(const Arch&)>;

/// Random search with weight sharing (Li and Talwalkar 2019): uniform architectures are scored on some batches, the
/// best of them on all; the answer is the best over all repetitions.
struct RandomSelectionOptions {
  int repetitions = 1;  ///< the code has one for each 10000 steps of training, at least one
  int samples = 1000, top = 10;
  int64_t batches = 10;
};
/// The space must outlive the selection.
std::unique_ptr<PathSelection> random_selection(const Space& space, const RandomSelectionOptions& options,
                                                Admits admits = {});

/// The evolution of SPOS (Guo et al. 2020): each generation is made of mutants and crossings of the best so far,
/// and of random architectures where these are too few; none is scored twice. All are scored on all batches.
struct EvolutionOptions {
  int population = 50, generations = 20, top = 10, crossovers = 25, mutants = 25;
  double mutation_rate = 0.1;  ///< of each choice to be drawn anew
};
std::unique_ptr<PathSelection> path_evolution(const Space& space, const EvolutionOptions& options,
                                              Admits admits = {});

}  // namespace mixop::nas
