// A comma-separated file with one header line, no quoting, and known columns.
#pragma once

#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "kernels/core/check.h"

namespace mixop::nas {

class Csv {
 public:
  /// Throws mixop::Error naming file and place when the file is absent, has another set of columns, or a line has
  /// more or fewer fields.
  Csv(const std::filesystem::path& path, const std::vector<std::string>& columns);

  /// The names in the first line of a file.
  static std::vector<std::string> header(const std::filesystem::path& path);

  size_t rows() const { return fields_.size() / names_.size(); }
  /// `column` counts in the order given at construction.
  std::string_view field(size_t row, size_t column) const { return fields_[row * names_.size() + column]; }
  /// Throws mixop::Error when the field is no number in [least, most].
  double number(size_t row, size_t column, double least, double most) const;
  size_t index(size_t row, size_t column, size_t end) const {
    return static_cast<size_t>(number(row, column, 0, static_cast<double>(end) - 1));
  }

  const std::string& file() const { return file_; }
  /// Throws mixop::Error: file, line, then the parts.
  template <class... Parts>
  [[noreturn]] void fail(size_t row, const Parts&... parts) const {
    kernels::fail(file_, " line ", row + 2, ": ", parts...);
  }

 private:
  std::string file_, text_;
  std::vector<std::string> names_;
  std::vector<std::string_view> fields_;
};

}  // namespace mixop::nas
