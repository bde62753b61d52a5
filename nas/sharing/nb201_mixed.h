// NAS-Bench-201 as a space of shared weights (Dong and Yang 2020): the skeleton of its networks with all five
// operations on each of the six edges of a cell.
#pragma once

#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

struct Nb201MixedOptions {
  NetworkScale scale{.channels = 16, .cells = 5};  ///< cells: of each of the three stages
  /// Scale and shift, and running statistics, of the batch norms of candidates. The benchmark's searches have no
  /// scale and shift, and published rows exist with statistics tracked and not. Norms that are not tracked take
  /// batch statistics in evaluation too. The norms around the cells always have both.
  bool affine = false, track = true;
};

/// One table, "alphas" [6 edges, 5 operations] in the orders of Nb201Space; decode() takes the largest entry of
/// each row, `none` like any other.
std::unique_ptr<MixedSpace> nb201_mixed_space(const Nb201MixedOptions& options);

}  // namespace mixop::nas
