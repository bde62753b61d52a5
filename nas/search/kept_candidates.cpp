#include "nas/search/kept_candidates.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {

KeptCandidates::KeptCandidates(const std::vector<MixTable>& tables)
    : names_(tables.at(0).columns), columns_(names_.size()) {
  for (const MixTable& table : tables) {
    MIXOP_CHECK(table.columns == names_, "stages: the tables have different candidates");
    kept_.emplace_back(static_cast<size_t>(table.rows) * columns_, true);
  }
}

void KeptCandidates::drop(const std::string& column) {
  for (std::vector<bool>& kept : kept_)
    for (size_t i = 0; i < kept.size(); ++i)
      if (names_[i % columns_] == column) kept[i] = false;
}

std::vector<std::vector<size_t>> KeptCandidates::entries(size_t t) const {
  std::vector<std::vector<size_t>> rows(kept_.at(t).size() / columns_);
  for (size_t i = 0; i < kept_[t].size(); ++i)
    if (kept_[t][i]) rows[i / columns_].push_back(i);
  return rows;
}

void KeptCandidates::keep_strongest(const std::vector<TableValues>& strengths, int count) {
  for (size_t t = 0; t < kept_.size(); ++t)
    for (std::vector<size_t>& row : entries(t)) {
      std::stable_sort(row.begin(), row.end(),
                       [&](size_t a, size_t b) { return strengths.at(t)[a] < strengths.at(t)[b]; });
      for (size_t i = 0; i + static_cast<size_t>(count) < row.size(); ++i) kept_[t][row[i]] = false;
    }
}

TableValues KeptCandidates::softmax(size_t t, const TableValues& alphas) const {
  TableValues result(alphas.size(), 0.0);
  for (const std::vector<size_t>& row : entries(t)) {
    double largest = alphas.at(row.at(0)), sum = 0;
    for (const size_t i : row) largest = std::max(largest, alphas[i]);
    for (const size_t i : row) sum += result[i] = std::exp(alphas[i] - largest);
    for (const size_t i : row) result[i] /= sum;
  }
  return result;
}

std::vector<double> KeptCandidates::logits(size_t t) const {
  std::vector<double> result;
  for (const bool kept : kept_.at(t)) result.push_back(kept ? 0 : -1e9);
  return result;
}

Json KeptCandidates::save() const {
  Json tables = Json::array();
  for (const std::vector<bool>& kept : kept_) {
    std::string text;
    for (const bool k : kept) text += k ? '1' : '0';
    tables.push_back(text);
  }
  return tables;
}

void KeptCandidates::load(const Json& json) {
  for (size_t t = 0; t < kept_.size(); ++t) {
    const std::string text = json.at(t);
    MIXOP_CHECK(text.size() == kept_[t].size(), "stages: ", text.size(), " candidates stored, the space has ",
                kept_[t].size());
    for (size_t i = 0; i < text.size(); ++i) kept_[t][i] = text[i] == '1';
  }
}

std::vector<double> parse_stages(const std::string& setting, const std::string& text) {
  std::vector<double> numbers;
  const char* at = text.data();
  const char* const end = at + text.size();
  for (;;) {
    double value = 0;
    const auto [next, error] = std::from_chars(at, end, value);
    MIXOP_CHECK(error == std::errc{} && (next == end || *next == ','), "setting ", setting, ": '", text,
                "' is no list of numbers, one a stage, such as 8,5,3");
    numbers.push_back(value);
    if (next == end) return numbers;
    at = next + 1;
  }
}

}  // namespace mixop::nas
