// Several aims at a time, each to be minimised: who dominates whom, how crowded a front is, what it covers.
#pragma once

#include <span>
#include <vector>

#include "nas/space/space.h"

namespace mixop::nas {

/// The objectives of one architecture; those compared have the same number.
using Objectives = std::vector<double>;

/// Not worse in any objective and better in at least one.
bool dominates(const Objectives& a, const Objectives& b);

/// Indices of the points that no other dominates, ascending; equal points all stay. n log n plus n times the front.
std::vector<size_t> non_dominated(std::span<const Objectives> points);

/// All points as fronts of indices: the first is dominated by nobody, the next only by members of those before it,
/// and so on (Deb et al. 2002). Quadratic in the points.
std::vector<std::vector<size_t>> non_dominated_sort(std::span<const Objectives> points);

/// Of each point of one front the sum over the objectives of the distance between its two neighbours, relative to
/// the extent of the front; infinite at the ends (Deb et al. 2002). An objective in which all agree adds nothing.
std::vector<double> crowding_distances(std::span<const Objectives> front);

/// The area (2 objectives) or volume (3) that the points dominate and that dominates the reference; exact. Points
/// that are not better than the reference in every objective add nothing. Throws mixop::Error for any other number
/// of objectives.
double hypervolume(std::span<const Objectives> points, const Objectives& reference);

/// Hypervolume as a part of that of the true front, which must not be 0.
double hypervolume_ratio(std::span<const Objectives> points, std::span<const Objectives> true_front,
                         const Objectives& reference);

struct FrontMember {
  int64_t id = -1;  ///< of the candidate
  Arch arch;
  Objectives objectives;
};

/// The architectures that none of those seen so far dominates. Of equal objectives the earliest stays.
class ParetoArchive {
 public:
  /// Whether it entered.
  bool add(FrontMember member);
  /// Ascending by objectives, the first one first.
  const std::vector<FrontMember>& members() const { return members_; }
  std::vector<Objectives> points() const;

 private:
  std::vector<FrontMember> members_;
};

/// One line a member under a line of names: "id", the objectives' and "architecture". As an aligned text ...
std::string front_table(const Space& space, std::span<const FrontMember> front,
                        const std::vector<std::string>& objectives);
/// ... and as CSV, whose numbers read back to the same bits.
std::string front_csv(const Space& space, std::span<const FrontMember> front,
                      const std::vector<std::string>& objectives);

}  // namespace mixop::nas
