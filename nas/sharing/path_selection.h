// Which architectures of a trained supernet are scored, and which of them is the answer.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "nas/random.h"
#include "nas/space/space.h"

namespace mixop::nas {

struct ScoredPath {
  Arch arch;
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
  /// Which entry of the history (not empty) is the answer.
  virtual size_t best(const std::vector<ScoredPath>& history) const = 0;
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
