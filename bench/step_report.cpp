#include "bench/step_report.h"

#include <sys/sysinfo.h>
#include <sys/utsname.h>

#include <algorithm>
#include <cstdio>
#include <fstream>

#include "nas/cli/machine.h"

namespace mixop::bench {

using nlohmann::json;

namespace {

std::string number(double value, int digits) {
  char text[64];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

/// The value of a name, or nothing.
std::string find(const std::vector<std::pair<std::string, double>>& list, const std::string& name, int digits) {
  for (const auto& [key, value] : list)
    if (key == name) return number(value, digits);
  return "";
}

std::string system_name() {
  std::ifstream in("/etc/os-release");
  constexpr std::string_view kKey = "PRETTY_NAME=\"";
  std::string name = "unknown";
  for (std::string line; std::getline(in, line);)
    if (line.starts_with(kKey)) name = line.substr(kKey.size(), line.size() - kKey.size() - 1);
  struct utsname kernel {};
  return uname(&kernel) == 0 ? name + ", Linux " + kernel.release : name;
}

void print_row(const std::vector<std::string>& cells, const std::vector<size_t>& widths) {
  for (size_t c = 0; c < cells.size(); ++c)
    std::printf("%s%-*s", c ? " | " : "| ", static_cast<int>(widths[c]), cells[c].c_str());
  std::printf(" |\n");
}

}  // namespace

Column peer_column(const json& record, const std::vector<double>& our_step_s, int64_t images) {
  Column c;
  c.name = record["peer"].get<std::string>() + " " + record["version"].get<std::string>() + " " +
           record["variant"].get<std::string>();
  c.step_s = record["seconds"].get<std::vector<double>>();
  for (const char* half : {"arch", "weight"})
    if (const std::string key = std::string(half) + "_s"; record.contains(key))
      c.halves.emplace_back(half, record[key]);
  for (const char* part : kPartNames)
    if (const std::string key = std::string(part) + "_s"; record.contains(key))
      c.parts.emplace_back(part, record[key]);
  c.images_per_s = static_cast<double>(images) / median(c.step_s);
  c.peak_bytes = record[record.contains("peak_bytes") ? "peak_bytes" : "peak_rss_bytes"];
  if (record.contains("launches_per_step") && record["launches_per_step"].is_number())
    c.kernel_calls = record["launches_per_step"];
  c.ratio = median(c.step_s) / median(our_step_s);
  return c;
}

void print_table(const std::vector<Column>& columns, int digits) {
  std::vector<std::vector<std::string>> rows;
  const auto add = [&](const char* name, auto&& cell) {
    std::vector<std::string> row{name};
    for (const Column& c : columns) row.push_back(cell(c));
    if (std::any_of(row.begin() + 1, row.end(), [](const std::string& s) { return !s.empty(); }))
      rows.push_back(row);
  };
  add("", [](const Column& c) { return c.name; });
  rows.emplace_back(columns.size() + 1, "---");
  add("step, s, median", [&](const Column& c) { return number(median(c.step_s), digits); });
  add("min to max of n", [&](const Column& c) {
    const auto [low, high] = std::minmax_element(c.step_s.begin(), c.step_s.end());
    return number(*low, digits) + " to " + number(*high, digits) + ", n = " + std::to_string(c.step_s.size());
  });
  if (columns[0].halves.size() > 1) {
    add("architecture step, s", [&](const Column& c) { return find(c.halves, "arch", digits); });
    add("weight step, s", [&](const Column& c) { return find(c.halves, "weight", digits); });
  }
  for (const char* part : kPartNames)
    add((std::string(part) + ", s").c_str(), [&](const Column& c) { return find(c.parts, part, digits); });
  add("images/s", [](const Column& c) { return number(c.images_per_s, 1); });
  add("peak memory, GB", [](const Column& c) { return number(c.peak_bytes / 1e9, 2); });
  add("kernel calls a step", [](const Column& c) { return c.kernel_calls > 0 ? number(c.kernel_calls, 0) : ""; });
  add("times ours", [](const Column& c) { return c.ratio > 0 ? number(c.ratio, 2) : ""; });
  std::vector<size_t> widths(columns.size() + 1);
  for (const auto& row : rows)
    for (size_t c = 0; c < row.size(); ++c) widths[c] = std::max(widths[c], row[c].size());
  for (const auto& row : rows) print_row(row, widths);
}

json report_traffic(const Subject& subject, const std::vector<PartCosts>& halves) {
  json report;
  double all = 0;
  for (size_t h = 0; h < halves.size(); ++h) {
    const PartCosts& half = halves[h];
    const char* name = subject.halves()[h].name;
    json& entry = report[name];
    for (int p = 0; p < kParts; ++p) {
      entry[kPartNames[p]] = half.bytes[p];
      all += half.bytes[p];
    }
    entry["cells"] = {{"forward", half.cells.forward}, {"backward", half.cells.backward}};
    if (const Traffic model = subject.model(); model.both() > 0) {
      entry["model"] = {{"forward", model.forward}, {"backward", model.backward}};
      std::printf(
          "planned bytes of the cells, %s step: forward %.2f GB (model %.2f), backward %.2f GB (model %.2f)\n",
          name, half.cells.forward / 1e9, model.forward / 1e9, half.cells.backward / 1e9, model.backward / 1e9);
    }
  }
  report["step"] = all;
  std::printf("planned bytes of a step, all nodes: %.2f GB\n", all / 1e9);
  return report;
}

json report_ops(const std::vector<std::vector<NodeCost>>& halves, const Ceilings& top) {
  json rows = json::array();
  for (const OpCosts& r : op_costs(halves, top, false))
    rows.push_back({{"op", r.name},
                    {"calls", r.calls},
                    {"seconds", r.seconds},
                    {"flops", r.flops},
                    {"bytes", r.bytes},
                    {"roofline_percent", 100 * r.allowed / r.seconds}});
  return {{"ceilings", {{"gflops", top.gflops}, {"gbytes", top.gbytes}, {"means", top.means}}}, {"rows", rows}};
}

json describe_machine() {
  struct sysinfo info {};
  sysinfo(&info);
  return {{"processor", cli::processor_name()},
          {"threads", kernels::default_threads()},
          {"memory_bytes", static_cast<uint64_t>(info.totalram) * info.mem_unit},
          {"system", system_name()},
          {"compiler", __VERSION__},
          {"date", cli::utc_now()}};
}

}  // namespace mixop::bench
