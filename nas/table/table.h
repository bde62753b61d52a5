// A benchmark table: what training every architecture of a space came to, in one memory-mapped file with a
// checksum.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "nas/space/space.h"

namespace mixop::nas {

struct TableColumn {
  std::string name;         ///< "c10_val_12"
  std::string unit;         ///< "%", "s", "ms", "M"; empty: a plain number
  std::string description;  ///< one line
  std::string dataset{};    ///< "cifar10", "cifar100", "ImageNet16-120"; empty: the same for all
  /// What evaluators look for: "val", "test" or "valtest" (accuracy at the end of a schedule), "seconds" (of
  /// training, per epoch); empty: found by name only.
  std::string measure{};
  int epochs = 0;  ///< length of that schedule
  int trial = -1;  ///< one training run (0, 1, ..); -1: the mean of all
};

/// A table in memory, to be written.
struct TableContent {
  std::string space;   ///< as find_space() takes it
  std::string source;  ///< the files it was made of, for a reader
  /// Architectures are told apart by Space::key() (one row for each class), not by their numbers.
  bool by_class = false;
  std::vector<Arch> archs;
  std::vector<TableColumn> columns;
  std::vector<std::vector<double>> values;  ///< by column, then row; NaN: not recorded
};

/// Writes a table. Throws mixop::Error when two rows are the same architecture, naming both.
void write_table(const std::filesystem::path& path, const TableContent& content);

/// Queries take microseconds and may run in any number of threads.
class Table {
 public:
  /// Throws mixop::Error when the file is no table, is cut off, does not have its checksum, or was made by another
  /// version.
  static Table open(const std::filesystem::path& path);
  /// The first of the files with the columns of the others, found by architecture. Throws mixop::Error when the
  /// spaces differ or two columns have one name.
  static Table open(const std::vector<std::string>& paths);

  const Space& space() const { return *space_; }
  const std::string& source() const { return source_; }
  size_t rows() const { return rows_; }
  /// The row of an architecture of space(), if it was trained.
  std::optional<size_t> find(const Arch& arch) const;
  Arch arch(size_t row) const;

  const std::vector<TableColumn>& columns() const { return columns_; }
  std::optional<size_t> find_column(const std::string& name) const;
  /// Throws mixop::Error listing the columns there are.
  size_t column(const std::string& name) const;
  /// The first column with these; nothing when there is none.
  std::optional<size_t> find_column(const std::string& dataset, const std::string& measure, int epochs,
                                    int trial = -1) const;
  /// NaN: not recorded.
  double value(size_t row, size_t column) const {
    const Values& v = values_[column];
    if (!v.rows) return v.data[row];
    const int64_t at = (*v.rows)[row];
    return at < 0 ? std::numeric_limits<double>::quiet_NaN() : v.data[at];
  }

 private:
  struct Identity {  // sorted by key
    ArchKey key;
    uint64_t row;
  };
  struct Values {
    const double* data;
    std::shared_ptr<const std::vector<int64_t>> rows;  // where the data is another file's: its row of each of ours
  };
  Table() = default;
  void join(const Table& other);
  ArchKey identify(const Arch& arch) const;

  std::string name_, source_;
  std::shared_ptr<const Space> space_;
  bool by_class_ = false;
  size_t rows_ = 0;
  std::span<const Identity> identities_;
  std::span<const uint32_t> offsets_;
  std::span<const int32_t> numbers_;
  std::vector<TableColumn> columns_;
  std::vector<Values> values_;
  std::vector<std::shared_ptr<const void>> mappings_;
};

/// The architecture of a text: '#' and its index, else as its space reads it. The index is the official one of
/// NAS-Bench-201, of other spaces the row of the table. Throws mixop::Error.
Arch parse_arch(const Table& table, const std::string& text);
size_t arch_index(const Table& table, size_t row);

/// What papers report of a found architecture, in per cent: the columns of the mean accuracies after the longest
/// schedule on a data set.
struct ReportedAccuracy {
  std::string dataset;
  std::optional<size_t> valid, test;  ///< nothing: the table has no such column
};
/// One for each data set of the table, in the order of its columns.
std::vector<ReportedAccuracy> reported_accuracies(const Table& table);

}  // namespace mixop::nas
