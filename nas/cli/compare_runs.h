// Searches side by side, by their run directories: strategies that trained their candidates.
#pragma once

#include <string>
#include <vector>

#include "nas/plot.h"
#include "nas/table/comparison.h"

namespace mixop::cli {

struct ComparedRuns {
  nas::Comparison
      comparison;    ///< a row for each strategy with its settings: the best validation accuracy over the seeds
  nas::Plot curves;  ///< the best so far over evaluations: mean, and the range over the seeds
};

/// Reads the directories of `mixop search STRATEGY`. Throws mixop::Error naming the directory when one is no such
/// run, when two differ in more than strategy and seed, or are of one strategy and seed.
ComparedRuns compare_runs(const std::vector<std::string>& directories);

}  // namespace mixop::cli
