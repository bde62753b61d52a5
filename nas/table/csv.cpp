#include "nas/table/csv.h"

#include <algorithm>
#include <charconv>
#include <fstream>

#include "autograd/files.h"

namespace mixop::nas {
namespace {

std::vector<std::string_view> split(std::string_view line) {
  if (line.ends_with('\r')) line.remove_suffix(1);
  std::vector<std::string_view> fields;
  for (size_t at = 0;;) {
    const size_t comma = std::min(line.find(',', at), line.size());
    fields.push_back(line.substr(at, comma - at));
    if (comma == line.size()) return fields;
    at = comma + 1;
  }
}

}  // namespace

std::vector<std::string> Csv::header(const std::filesystem::path& path) {
  std::ifstream in(path);
  std::string line;
  std::getline(in, line);
  const auto names = split(line);
  return {names.begin(), names.end()};
}

Csv::Csv(const std::filesystem::path& path, const std::vector<std::string>& columns)
    : file_(path.string()), text_(autograd::read_file(path)), names_(columns) {
  std::string_view rest = text_;
  const auto take_line = [&rest] {
    const size_t end = std::min(rest.find('\n'), rest.size());
    const std::string_view line = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    return line;
  };
  const std::vector<std::string_view> found = split(take_line());
  std::vector<size_t> places;  // of our columns in the file
  for (const std::string& name : columns) {
    const auto at = std::find(found.begin(), found.end(), name);
    MIXOP_CHECK(at != found.end(), file_, " has no column '", name, "'");
    places.push_back(static_cast<size_t>(at - found.begin()));
  }
  for (const std::string_view name : found)
    MIXOP_CHECK(std::count(columns.begin(), columns.end(), name), file_, " has an unknown column '", name, "'");
  MIXOP_CHECK(found.size() == columns.size(), file_, " names a column twice");
  while (!rest.empty()) {
    const std::vector<std::string_view> fields = split(take_line());
    if (fields.size() != columns.size()) fail(rows(), "has ", fields.size(), " fields instead of ", columns.size());
    for (const size_t place : places) fields_.push_back(fields[place]);
  }
}

double Csv::number(size_t row, size_t column, double least, double most) const {
  const std::string_view text = field(row, column);
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc{} || end != text.data() + text.size())
    fail(row, "column ", names_[column], ": '", text, "' is no number");
  if (!(value >= least && value <= most))
    fail(row, "column ", names_[column], ": ", text, " is outside ", least, " to ", most);
  return value;
}

}  // namespace mixop::nas
