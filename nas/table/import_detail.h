// What the readers of the benchmarks share.
#pragma once

#include "nas/table/csv.h"
#include "nas/table/import.h"

namespace mixop::nas {

/// A column as a file has it: its description and the values that it may hold.
struct ColumnSource {
  TableColumn column;
  double least = 0, most = 1e300;
  double scale = 1;                ///< 100 where the file has fractions and the table per cent
  std::optional<double> absent{};  ///< this number, below `least`, says that nothing was recorded
};

inline ColumnSource accuracy_source(std::string name, std::string description, std::string dataset,
                                    std::string measure, int epochs, int trial = -1) {
  return {{std::move(name), "%", std::move(description), std::move(dataset), std::move(measure), epochs, trial},
          0,
          100};
}

/// Reads one column of a file into the content.
void import_column(TableContent& content, const Csv& csv, size_t column, const ColumnSource& source);
/// The files' names, for TableContent::source.
std::string names_of(const std::vector<std::filesystem::path>& files);
/// The names of columns as a file has them, after `first`.
std::vector<std::string> column_names(std::vector<std::string> first, const std::vector<ColumnSource>& sources);

TableContent import_nb201(const std::vector<std::filesystem::path>& files);
TableContent import_hwnasbench(const std::vector<std::filesystem::path>& files);
TableContent import_nb201_proxies(const std::vector<std::filesystem::path>& files);
TableContent import_nb101(const std::vector<std::filesystem::path>& files);
TableContent import_nbmacro(const std::vector<std::filesystem::path>& files);

}  // namespace mixop::nas
