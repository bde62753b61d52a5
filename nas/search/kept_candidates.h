// The candidates that are left on every edge while a search in stages drops the weakest (P-DARTS, DrNAS).
#pragma once

#include <string>
#include <vector>

#include "nas/json.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

class KeptCandidates {
 public:
  /// All of every table.
  explicit KeptCandidates(const std::vector<MixTable>& tables);

  /// Of table t, [rows, columns].
  const std::vector<bool>& table(size_t t) const { return kept_.at(t); }
  /// The indices in table t of what is left, by row.
  std::vector<std::vector<size_t>> entries(size_t t) const;
  size_t tables() const { return kept_.size(); }
  size_t columns() const { return columns_; }

  /// Leaves the column of that name out everywhere.
  void drop(const std::string& column);
  /// Leaves the `count` strongest on every row; of equal ones those to the right, as the code of P-DARTS.
  void keep_strongest(const std::vector<TableValues>& strengths, int count);
  /// The softmax of each row over what is left; 0 for what is not.
  TableValues softmax(size_t t, const TableValues& alphas) const;
  /// What to add to logits: 0, and for what is left out a number whose exponential is 0.
  std::vector<double> logits(size_t t) const;

  /// Rows of 0 and 1 by table.
  Json save() const;
  void load(const Json& json);

 private:
  std::vector<std::string> names_;  // of the columns, the same in all tables
  size_t columns_;
  std::vector<std::vector<bool>> kept_;
};

/// "8,5,3" as numbers. Throws mixop::Error naming the setting for anything else.
std::vector<double> parse_stages(const std::string& setting, const std::string& text);

}  // namespace mixop::nas
