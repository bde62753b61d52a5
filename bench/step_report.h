// What step_bench says at the end: a table of ours beside the peers, and the same numbers as JSON.
#pragma once

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "bench/step_nodes.h"
#include "bench/step_timing.h"

namespace mixop::bench {

/// A program's numbers; what is missing is not printed.
struct Column {
  std::string name;
  std::vector<double> step_s;
  std::vector<std::pair<std::string, double>> halves;  ///< median seconds
  std::vector<std::pair<std::string, double>> parts;   ///< of all halves, seconds
  double images_per_s = 0, peak_bytes = 0, kernel_calls = 0;
  double ratio = 0;  ///< its step over ours
};

/// Of a peer's record, and of our seconds between its steps.
Column peer_column(const nlohmann::json& record, const std::vector<double>& our_step_s, int64_t images);

/// Markdown; `digits` of seconds.
void print_table(const std::vector<Column>& columns, int digits);

/// Planned bytes beside the model's, in print and as JSON.
nlohmann::json report_traffic(const Subject& subject, const std::vector<PartCosts>& halves);

/// The rows of print_ops() by op, and the ceilings that they are compared with.
nlohmann::json report_ops(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top);

/// Processor, memory, system, compiler, date.
nlohmann::json describe_machine();

}  // namespace mixop::bench
