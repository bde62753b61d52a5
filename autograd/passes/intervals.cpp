#include "autograd/passes/intervals.h"

#include <algorithm>
#include <numeric>

namespace mixop::autograd {

Interval interval_of(const Rewriter& r, int node) {
  Interval i{node, -1, r.graph().size()};
  const Node& n = r.node(node);
  for (const Value v : n.inputs)
    if (r.node(v.node).op) i.begin = std::max(i.begin, v.node);
  for (int k = 0; k < static_cast<int>(n.outputs.size()); ++k)
    for (const Use& use : r.uses({node, k})) i.end = std::min(i.end, use.node);
  return i;
}

std::vector<Meeting> meetings(const std::vector<Interval>& intervals, Order order, size_t most) {
  const auto rank = [&](size_t i) {
    const Interval& v = intervals[i];
    return order == Order::kEarliestEnd ? v.end : order == Order::kLatestBegin ? -v.begin : v.begin;
  };
  std::vector<size_t> sorted(intervals.size());
  std::iota(sorted.begin(), sorted.end(), size_t{0});
  std::stable_sort(sorted.begin(), sorted.end(), [&](size_t a, size_t b) { return rank(a) < rank(b); });
  std::vector<bool> done(intervals.size());
  std::vector<Meeting> result;
  for (size_t first = 0; first < sorted.size(); ++first) {
    if (done[sorted[first]]) continue;
    Meeting m{{}, intervals[sorted[first]].begin, intervals[sorted[first]].end};
    for (size_t k = first; k < sorted.size() && m.members.size() < most; ++k) {
      const Interval& v = intervals[sorted[k]];
      if (done[sorted[k]] || std::max(m.begin, v.begin) >= std::min(m.end, v.end)) continue;
      m.begin = std::max(m.begin, v.begin), m.end = std::min(m.end, v.end);
      m.members.push_back(sorted[k]);
      done[sorted[k]] = true;
    }
    result.push_back(std::move(m));
  }
  return result;
}

}  // namespace mixop::autograd
