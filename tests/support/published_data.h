// Real tables for the tests that can do without: tests that want one skip, saying so, where there is none.
#pragma once

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>
#include <optional>
#include <sstream>
#include <string>
#include <vector>

namespace mixop::test {

/// The file in the directory that MIXOP_SHARED names, in its data/, or in ../shared/data beside the sources.
inline std::optional<std::filesystem::path> published_file(const std::string& name) {
  std::vector<std::filesystem::path> places = {std::filesystem::path(MIXOP_SOURCE_DIR) / ".." / "shared" / "data"};
  if (const char* shared = std::getenv("MIXOP_SHARED")) places = {shared, std::filesystem::path(shared) / "data"};
  for (const auto& place : places)
    if (std::filesystem::exists(place / name)) return place / name;
  return {};
}

/// The rows of a CSV file without quotes, by column name.
inline std::vector<std::map<std::string, std::string>> read_csv(const std::filesystem::path& path) {
  const auto cells = [](const std::string& line) {
    std::vector<std::string> parts;
    std::istringstream in(line);
    for (std::string part; std::getline(in, part, ',');) parts.push_back(part);
    return parts;
  };
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  const std::vector<std::string> names = cells(line);
  std::vector<std::map<std::string, std::string>> rows;
  while (std::getline(in, line)) {
    const std::vector<std::string> values = cells(line);
    for (size_t i = 0; i < names.size(); ++i) {
      if (i == 0) rows.emplace_back();
      rows.back()[names[i]] = i < values.size() ? values[i] : "";
    }
  }
  return rows;
}

}  // namespace mixop::test
