// Where the time and the traffic of a step go, node by node.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "bench/ceilings.h"
#include "bench/step_subject.h"

namespace mixop::bench {

/// A node of one of a subject's plans.
struct NodeCost {
  autograd::Plan::StepInfo info;
  double bytes = 0;    ///< planned, see bench/planned_bytes.h
  double seconds = 0;  ///< mean of the timed steps; 0 when none were
};

/// All nodes of a step, half by half in the order they run; the plans must have run. `steps` further steps are
/// timed node by node. On a CUDA device every node is then waited for, so that its seconds include its launch.
std::vector<std::vector<NodeCost>> measure_nodes(const Subject& subject, int steps);

enum Part : uint8_t { kForward, kBackward, kUpdate, kParts };
inline constexpr std::array<const char*, kParts> kPartNames = {"forward", "backward", "update"};

/// Sums over nodes by part: backward are those that gradients appended, update is clipping and the optimiser.
struct PartCosts {
  std::array<double, kParts> seconds{}, bytes{};
  Traffic cells;  ///< bytes inside cells, without their preprocessing: what the traffic model counts
};
PartCosts part_costs(const std::vector<NodeCost>& nodes);

/// Sums over the nodes of an op and implementation.
struct OpCosts {
  std::string name;
  double seconds = 0, flops = 0, bytes = 0;
  double allowed = 0;  ///< seconds that the roofline allows, summed over calls (bench/planned_bytes.h)
  int calls = 0;
};
/// Longest first; `by_shape`: nodes whose first result has another shape stand apart.
std::vector<OpCosts> op_costs(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top, bool by_shape);

/// Rates and per cent of the ceilings by op, and by op and shape where that takes a per cent of the step or more.
/// %roof is the time that the roofline allows over the time taken.
void print_ops(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top, int digits);

}  // namespace mixop::bench
