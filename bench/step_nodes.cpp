#include "bench/step_nodes.h"

#include <algorithm>
#include <cstdio>
#include <map>

#include "bench/planned_bytes.h"
#include "bench/step_timing.h"

namespace mixop::bench {

namespace {

void enable_timing(const Subject& subject, bool on) {
  for (const Subject::Half& half : subject.halves()) const_cast<autograd::Plan*>(half.plan)->enable_timing(on);
}

Part part_of(const autograd::Plan::StepInfo& info) {
  for (const char* op : {"grad_norm", "sgd_step", "adam_step"})
    if (info.op == op) return kUpdate;
  return info.backward ? kBackward : kForward;
}

bool inside_cell(const std::string& name) {
  return name.starts_with("cells.") && name.find(".pre0") == std::string::npos &&
         name.find(".pre1") == std::string::npos;
}

void print_rows(const std::vector<OpCosts>& rows, const char* title, double least, const Ceilings& top,
                int digits) {
  std::printf("%-56s %6s %9s %9s %9s %7s %8s %7s %7s\n", title, "calls", "ms/step", "MB/step", "GFLOP/s", "%flops",
              "GB/s", "%copy", "%roof");
  for (const OpCosts& r : rows)
    if (r.seconds >= least)
      std::printf("%-56s %6d %9.*f %9.1f %9.1f %7.1f %8.1f %7.1f %7.1f\n", r.name.c_str(), r.calls, digits,
                  r.seconds * 1e3, r.bytes / 1e6, r.flops / r.seconds / 1e9,
                  100 * r.flops / r.seconds / 1e9 / top.gflops, r.bytes / r.seconds / 1e9,
                  100 * r.bytes / r.seconds / 1e9 / top.gbytes, 100 * r.allowed / r.seconds);
}

}  // namespace

std::vector<std::vector<NodeCost>> measure_nodes(const Subject& subject, int steps) {
  if (steps > 0) {
    Timings unused;  // they include the timing
    enable_timing(subject, true);
    measure_steps(subject, steps, unused);
  }
  std::vector<std::vector<NodeCost>> halves;
  for (const Subject::Half& half : subject.halves()) {
    const auto infos = half.plan->steps();
    const auto calls = half.plan->calls();
    std::vector<NodeCost>& nodes = halves.emplace_back();
    for (size_t i = 0; i < infos.size(); ++i)
      nodes.push_back({infos[i], planned_bytes(calls[i].call), steps > 0 ? half.plan->seconds()[i] / steps : 0});
  }
  if (steps > 0) enable_timing(subject, false);
  return halves;
}

PartCosts part_costs(const std::vector<NodeCost>& nodes) {
  PartCosts sum;
  for (const NodeCost& node : nodes) {
    const Part part = part_of(node.info);
    sum.seconds[part] += node.seconds;
    sum.bytes[part] += node.bytes;
    if (part != kUpdate && inside_cell(node.info.name))
      (part == kForward ? sum.cells.forward : sum.cells.backward) += node.bytes;
  }
  return sum;
}

std::vector<OpCosts> op_costs(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top,
                              bool by_shape) {
  std::map<std::string, OpCosts> rows;
  for (const auto& nodes : halves)
    for (const NodeCost& node : nodes) {
      const std::string name = node.info.op + " (" + node.info.impl + ")" + (by_shape ? " " + node.info.shape : "");
      OpCosts& row = rows[name];
      row.name = name;
      row.seconds += node.seconds;
      row.flops += node.info.flops;
      row.bytes += node.bytes;
      row.allowed += allowed_seconds(node.info.flops, node.bytes, top);
      ++row.calls;
    }
  std::vector<OpCosts> sorted;
  for (auto& [name, row] : rows) sorted.push_back(std::move(row));
  std::stable_sort(sorted.begin(), sorted.end(),
                   [](const OpCosts& a, const OpCosts& b) { return a.seconds > b.seconds; });
  return sorted;
}

void print_ops(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top, int digits) {
  const auto by_op = op_costs(halves, top, false);
  double seconds = 0;
  for (const OpCosts& row : by_op) seconds += row.seconds;
  print_rows(by_op, "op", 0, top, digits);
  print_rows(op_costs(halves, top, true), "op and shape of its first result, from 1 % of the step on",
             0.01 * seconds, top, digits);
  std::printf("ceilings: %.0f GFLOP/s, %.1f GB/s%s%s\n", top.gflops, top.gbytes, top.means.empty() ? "" : "; ",
              top.means.c_str());
}

}  // namespace mixop::bench
