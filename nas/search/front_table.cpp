// A front of architectures as text.
#include <charconv>
#include <cstdio>

#include "nas/search/pareto.h"

namespace mixop::nas {
namespace {

std::string shortest(double value) {
  char text[32];
  return {text, std::to_chars(text, text + sizeof text, value).ptr};
}

std::string six_digits(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.6g", value);
  return text;
}

using Rows = std::vector<std::vector<std::string>>;

Rows rows_of(const Space& space, std::span<const FrontMember> front, const std::vector<std::string>& objectives,
             std::string (*number)(double)) {
  Rows rows = {{"id"}};
  rows[0].insert(rows[0].end(), objectives.begin(), objectives.end());
  rows[0].push_back("architecture");
  for (const FrontMember& m : front) {
    rows.push_back({std::to_string(m.id)});
    for (const double v : m.objectives) rows.back().push_back(number(v));
    rows.back().push_back(space.format(m.arch));
  }
  return rows;
}

}  // namespace

std::string front_table(const Space& space, std::span<const FrontMember> front,
                        const std::vector<std::string>& objectives) {
  const Rows rows = rows_of(space, front, objectives, six_digits);
  std::vector<size_t> widths(rows[0].size());
  for (const auto& row : rows)
    for (size_t i = 0; i < row.size(); ++i) widths[i] = std::max(widths[i], row[i].size());
  std::string text;
  for (const auto& row : rows) {
    for (size_t i = 0; i + 1 < row.size(); ++i) text += std::string(widths[i] - row[i].size(), ' ') + row[i] + "  ";
    text += row.back() + "\n";
  }
  return text;
}

std::string front_csv(const Space& space, std::span<const FrontMember> front,
                      const std::vector<std::string>& objectives) {
  std::string text;
  for (const auto& row : rows_of(space, front, objectives, shortest)) {
    for (size_t i = 0; i + 1 < row.size(); ++i) text += row[i] + ",";
    // Text forms of some spaces have commas.
    const bool quoted = row.back().find_first_of(",\"") != std::string::npos;
    text += quoted ? "\"" : "";
    for (const char c : row.back()) text += c == '"' ? "\"\"" : std::string(1, c);
    text += quoted ? "\"\n" : "\n";
  }
  return text;
}

}  // namespace mixop::nas
