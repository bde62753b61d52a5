// Anytime curves: how far the best architecture so far is from the best of the table, over the time of a search.
#pragma once

#include "nas/plot.h"
#include "nas/table/seeds.h"

namespace mixop::nas {

struct RegretCurve {
  std::string label;
  std::vector<double> x;                             ///< simulated seconds, or evaluations
  std::vector<double> mean, lower, median, upper{};  ///< over the seeds, in points of accuracy; quartiles
};

struct LabelledRuns {
  std::string label;
  std::vector<SearchRun> runs;
};

/// One curve for each set of runs over 100 points evenly spaced in the logarithm of x, from where every run has
/// its first evaluation to the end of the longest. Regret is that of `column` (an accuracy in per cent) of the
/// best architecture so far, by the accuracy that guided the search; it need not fall.
std::vector<RegretCurve> regret_curves(const Table& table, size_t column, const std::vector<LabelledRuns>& all,
                                       bool over_seconds);

/// "strategy,seconds,mean,lower_quartile,median,upper_quartile", a line for each point.
std::string curves_csv(const std::vector<RegretCurve>& curves, bool over_seconds);
/// The means, with bands between the quartiles; `accuracy` says whose regret it is ("cifar10 test").
std::string curves_svg(const std::vector<RegretCurve>& curves, const std::string& accuracy, bool over_seconds);

}  // namespace mixop::nas
