#include "nas/table/import.h"

#include <cmath>

#include "nas/table/import_detail.h"

namespace mixop::nas {

void import_column(TableContent& content, const Csv& csv, size_t column, const ColumnSource& source) {
  std::vector<double> values;
  for (size_t row = 0; row < csv.rows(); ++row) {
    const bool lacks = source.absent && csv.number(row, column, *source.absent, source.most) == *source.absent;
    values.push_back(lacks ? std::nan("") : csv.number(row, column, source.least, source.most) * source.scale);
  }
  content.columns.push_back(source.column);
  content.values.push_back(std::move(values));
}

std::string names_of(const std::vector<std::filesystem::path>& files) {
  std::string all;
  for (const auto& file : files) all += (all.empty() ? "" : ", ") + file.filename().string();
  return all;
}

std::vector<std::string> column_names(std::vector<std::string> first, const std::vector<ColumnSource>& sources) {
  for (const ColumnSource& s : sources) first.push_back(s.column.name);
  return first;
}

const std::vector<TableImport>& table_imports() {
  static const std::vector<TableImport> all = {
      {"nb201", "NAS-Bench-201: nb201.csv, and nb201_trials.csv for single runs", import_nb201},
      {"hwnasbench",
       "HW-NAS-Bench on the cells of NAS-Bench-201: one to three files *_c10.csv, *_c100.csv, *_in16.csv",
       import_hwnasbench},
      {"nb201-proxies", "zero-cost scores of NAS-Bench-201's cells: files *_c10.csv, *_in16.csv",
       import_nb201_proxies},
      {"nb101", "NAS-Bench-101, or a part of it: nb101_sample.csv", import_nb101},
      {"nbmacro", "NAS-Bench-Macro: nbmacro.csv", import_nbmacro},
  };
  return all;
}

const TableImport& find_table_import(const std::string& name) {
  std::string known;
  for (const TableImport& import : table_imports()) {
    if (import.name == name) return import;
    known += (known.empty() ? "" : ", ") + import.name;
  }
  kernels::fail("no benchmark '", name, "' can be imported; there are: ", known);
}

}  // namespace mixop::nas
