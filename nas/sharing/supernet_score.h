// What a benchmark table says about a search by shared weights: how good its answer is, how well its supernet ranks
// architectures, what random ones would have been.
#pragma once

#include <span>
#include <string>

#include "nas/sharing/mixed_space.h"
#include "nas/sharing/path_selection.h"
#include "nas/table/table.h"

namespace mixop::nas {

/// Kendall's tau-b of two lists of equal length (Kendall 1945): (concordant - discordant pairs) over the geometric
/// mean of the pairs that each list does not tie; NaN when one ties all. O(n^2).
double kendall_tau_b(std::span<const double> a, std::span<const double> b);

/// `count` different architectures, uniformly drawn with a seed of their own: the same for all searches.
std::vector<Arch> ranking_sample(const Space& space, int count);

/// Throws mixop::Error naming the file when it is no table, or one of another space.
Table open_score_table(const std::string& file, const Space& space);

/// How many rows of the tables an architecture gives to the candidate of that name.
int count_candidate(const MixedSpace& space, const Arch& arch, const std::string& candidate);

/// Lines on an architecture: its skip connections, and a warning when nearly all that it takes is skip_connect or
/// none, as when a search has collapsed.
std::string describe_candidates(const MixedSpace& space, const Arch& arch);

/// Lines that give, for each data set of the table, the validation and test accuracy of the architecture after the
/// longest schedule, mean and deviation of the sample, and the tau between the supernet's accuracy and the table's
/// test accuracy over the sample (`sample` may be empty: then only the first).
std::string score_by_table(const Table& table, const Arch& found, const std::vector<ScoredPath>& sample);

}  // namespace mixop::nas
