#include "nas/search/pareto.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr double kInfinite = std::numeric_limits<double>::infinity();

/// Of points in two dimensions, all better than the reference: a staircase from the left.
double area(std::vector<std::pair<double, double>> points, double right, double top) {
  std::sort(points.begin(), points.end());
  double sum = 0, low = top;
  for (size_t i = 0; i < points.size(); ++i) {
    low = std::min(low, points[i].second);
    const double until = i + 1 < points.size() ? points[i + 1].first : right;
    sum += (until - points[i].first) * (top - low);
  }
  return sum;
}

}  // namespace

bool dominates(const Objectives& a, const Objectives& b) {
  bool better = false;
  for (size_t i = 0; i < a.size(); ++i) {
    if (a[i] > b[i]) return false;
    better |= a[i] < b[i];
  }
  return better;
}

std::vector<size_t> non_dominated(std::span<const Objectives> points) {
  // Who dominates comes earlier in the order of the numbers.
  std::vector<size_t> order(points.size()), front;
  std::iota(order.begin(), order.end(), 0);
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return points[a] < points[b]; });
  for (const size_t i : order)
    if (std::none_of(front.begin(), front.end(), [&](size_t j) { return dominates(points[j], points[i]); }))
      front.push_back(i);
  std::sort(front.begin(), front.end());
  return front;
}

std::vector<std::vector<size_t>> non_dominated_sort(std::span<const Objectives> points) {
  std::vector<std::vector<size_t>> dominated(points.size()), fronts;
  std::vector<size_t> dominators(points.size()), front;
  for (size_t i = 0; i < points.size(); ++i)
    for (size_t j = 0; j < points.size(); ++j)
      if (dominates(points[i], points[j])) {
        dominated[i].push_back(j);
        ++dominators[j];
      }
  for (size_t i = 0; i < points.size(); ++i)
    if (dominators[i] == 0) front.push_back(i);
  while (!front.empty()) {
    std::vector<size_t> next;
    for (const size_t i : front)
      for (const size_t j : dominated[i])
        if (--dominators[j] == 0) next.push_back(j);
    std::sort(next.begin(), next.end());
    fronts.push_back(std::move(front));
    front = std::move(next);
  }
  return fronts;
}

std::vector<double> crowding_distances(std::span<const Objectives> front) {
  const size_t n = front.size();
  std::vector<double> distances(n, n <= 2 ? kInfinite : 0.0);
  if (n <= 2) return distances;
  std::vector<size_t> order(n);
  std::iota(order.begin(), order.end(), 0);
  for (size_t m = 0; m < front[0].size(); ++m) {
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return front[a][m] < front[b][m]; });
    const double extent = front[order.back()][m] - front[order.front()][m];
    if (extent <= 0) continue;
    distances[order.front()] = distances[order.back()] = kInfinite;
    for (size_t i = 1; i + 1 < n; ++i)
      distances[order[i]] += (front[order[i + 1]][m] - front[order[i - 1]][m]) / extent;
  }
  return distances;
}

double hypervolume(std::span<const Objectives> points, const Objectives& reference) {
  const size_t n = reference.size();
  MIXOP_CHECK(n == 2 || n == 3, "hypervolume of ", n, " objectives; 2 or 3 can be measured");
  std::vector<Objectives> inside;
  for (const Objectives& p : points) {
    MIXOP_CHECK(p.size() == n, "hypervolume: a point has ", p.size(), " objectives, the reference ", n);
    if (std::equal(p.begin(), p.end(), reference.begin(), std::less<>())) inside.push_back(p);
  }
  // Slices between one point's last objective and the next one's.
  std::sort(inside.begin(), inside.end(),
            [](const Objectives& a, const Objectives& b) { return a.back() < b.back(); });
  std::vector<std::pair<double, double>> slice;
  double sum = 0;
  for (size_t i = 0; i < inside.size(); ++i) {
    slice.emplace_back(inside[i][0], inside[i][1]);
    if (n == 2) continue;
    const double until = i + 1 < inside.size() ? inside[i + 1][2] : reference[2];
    if (until > inside[i][2]) sum += area(slice, reference[0], reference[1]) * (until - inside[i][2]);
  }
  return n == 2 ? area(slice, reference[0], reference[1]) : sum;
}

double hypervolume_ratio(std::span<const Objectives> points, std::span<const Objectives> true_front,
                         const Objectives& reference) {
  const double whole = hypervolume(true_front, reference);
  MIXOP_CHECK(whole > 0, "hypervolume: no point of the true front is better than the reference in every objective");
  return hypervolume(points, reference) / whole;
}

bool ParetoArchive::add(FrontMember member) {
  const auto beaten = [&](const FrontMember& m) {
    return m.objectives == member.objectives || dominates(m.objectives, member.objectives);
  };
  if (std::any_of(members_.begin(), members_.end(), beaten)) return false;
  std::erase_if(members_, [&](const FrontMember& m) { return dominates(member.objectives, m.objectives); });
  const auto before = [](const FrontMember& a, const FrontMember& b) { return a.objectives < b.objectives; };
  members_.insert(std::upper_bound(members_.begin(), members_.end(), member, before), member);
  return true;
}

std::vector<Objectives> ParetoArchive::points() const {
  std::vector<Objectives> points;
  for (const FrontMember& m : members_) points.push_back(m.objectives);
  return points;
}

}  // namespace mixop::nas
