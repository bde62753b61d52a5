// How dense the architectures of a set lie around another: a product of one categorical kernel a decision
// (Aitchison and Aitken 1976), with the rule of thumb for the bandwidths that BOHB uses.
#pragma once

#include <span>
#include <vector>

#include "nas/random.h"
#include "nas/space/space.h"

namespace mixop::nas {

class CategoricalKde {
 public:
  /// `points` are not empty. Bandwidth of a decision: 1.06 times the standard deviation of its values times
  /// n^(-1 / (4 + d)), at least `least`, d the length of the longest point (the normal reference rule, which treats
  /// the values as numbers, as statsmodels and HpBandSter do). `bounded`: see density().
  CategoricalKde(std::vector<Arch> points, double least, bool bounded);

  /// Mean over the points of the product over the decisions of 1 - h where the values agree and h / (c - 1) where
  /// they differ, with c = values[i] the number of values of decision i. At h = (c - 1) / c all values are equally
  /// likely, and that bounds h if `bounded`; HpBandSter does not bound it, so that beyond, a value that was seen
  /// speaks against itself and the sum may be negative. A decision that a point lacks counts 1 / c.
  double density(const Arch& arch, std::span<const int> values) const;

  /// An architecture near a random point: each of its values is kept with probability 1 - h where it is legal,
  /// else drawn uniformly. `values` gets the number of legal values of each decision.
  Arch sample(const Space& space, Random& random, std::vector<int>& values) const;

 private:
  double bandwidth(size_t decision) const;

  std::vector<Arch> points_;
  std::vector<double> bandwidths_;
  double least_;
  bool bounded_;
};

}  // namespace mixop::nas
