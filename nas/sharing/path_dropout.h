// Path dropout (Bender et al. 2018, "Understanding and simplifying one-shot architecture search"): the candidates
// of an edge are summed, and in each step some of them are left out, so that weights get used to missing
// neighbours.
#pragma once

#include <map>

#include "autograd/optimizer.h"
#include "nas/sharing/path_plan.h"

namespace mixop::nas {

/// The rate that is in force at a step of `steps`: it rises linearly from 0 to `last`.
inline double path_dropout_rate(double last, int64_t step, int64_t steps) {
  return last * static_cast<double>(step) / static_cast<double>(steps);
}

/// Ones and zeros: of the k candidates of a row that are not `none` each is dropped with probability rate^(1/k), so
/// that all of them are with probability `rate`.
PathSample drop_paths(const MixedSpace& space, double rate, Random& random);

/// Where a parameter's candidate stands.
struct CandidateIndex {
  size_t table;
  int64_t index;  ///< row-major
};
/// The candidates' parameters by name; those that all paths share are missing.
std::map<std::string, CandidateIndex> candidate_parameters(const MixedSpace& space);

/// autograd::sgd, but a candidate's weights decay by its entry of the tables, in the mean over the samples; decay
/// is added before clipping. `tables`: of each sample those of the space.
autograd::OptimizerNodes sgd_on_kept(Graph& g, Value loss, const MixedSpace& space,
                                     const std::vector<std::vector<Value>>& tables, Stores& stores,
                                     const autograd::Sgd& options);

}  // namespace mixop::nas
