// Networks sampled from one supernet: a plan whose tables are inputs, so that each run may take another path.
#pragma once

#include <span>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// What a run carries out: the tables' values, and for each row, table after table, the choice (-1: none).
struct PathSample {
  std::vector<TableValues> tables;
  std::vector<int32_t> choices;
};
/// The network of an architecture: ones for the candidates that it takes, zeros for all others.
PathSample one_path(const MixedSpace& space, const Arch& arch);

/// Whether a plan carries out one candidate a row and skips the others, or all of them, weighted by the tables. The
/// values of one path are the same.
enum class Candidates : uint8_t { kChosen, kAll };

/// Adds an input for each table of the space, and the choices. A graph may hold several samples, each with a
/// number.
std::vector<Mixing> sampled_mixing(Graph& g, const MixedSpace& space, Candidates candidates, size_t number = 0);

/// A compiled network of one batch size.
struct PathPlan {
  Candidates candidates;
  Value loss, correct, norm;
  autograd::Plan plan;
};
/// Fills the inputs of the tables of each sample and makes the choices, which only a single one has.
void take(PathPlan& plan, const MixedSpace& space, std::span<const PathSample> samples);

/// Runs the plan on a batch. Throws mixop::Error when the plan is for another size.
PendingScore run(PathPlan& plan, const MixedSpace& space, const Batch& batch, std::span<const PathSample> samples);

}  // namespace mixop::nas
