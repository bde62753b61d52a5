// Nodes that can run at the same time. Each has an interval in the order: behind the last of its producers, before
// the first of its readers; any set of intervals with a common point can be one node there.
#pragma once

#include <vector>

#include "autograd/passes/rewrite.h"

namespace mixop::autograd {

struct Interval {
  int node;
  int begin = -1, end = -1;  ///< computed behind `begin`, read by `end`
};

Interval interval_of(const Rewriter& r, int node);

/// How sets are begun. Each takes all it can of what is left, so that they are as few as possible.
enum class Order : uint8_t {
  kEarliestEnd,  ///< with what is read first: members tend to be read together
  kLatestBegin,  ///< with what is computed last: members tend to be produced together
  kEarliestBegin
};

/// A set of nodes, as indices of their intervals, and the points common to all: behind `begin`, before `end`.
struct Meeting {
  std::vector<size_t> members;
  int begin, end;
};

/// Sets of at most `most` of the intervals, each in one.
std::vector<Meeting> meetings(const std::vector<Interval>& intervals, Order order, size_t most);

}  // namespace mixop::autograd
