// A file that only grows while a run goes on, and is cut back to a checkpoint's length when it is resumed.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string_view>

namespace mixop::cli {

/// Every write reaches the system at once, so that a killed process loses nothing. All members throw mixop::Error
/// naming the file and the system's reason.
class AppendFile {
 public:
  explicit AppendFile(const std::filesystem::path& path);
  ~AppendFile();
  AppendFile(const AppendFile&) = delete;
  AppendFile& operator=(const AppendFile&) = delete;

  /// Appends the text and a line end.
  void line(std::string_view text);
  /// Bytes so far.
  int64_t size() const { return size_; }
  /// Drops everything after the first `size` bytes; throws when there are fewer.
  void cut(int64_t size);
  /// Returns when the disk has it.
  void sync();

 private:
  std::filesystem::path path_;
  int fd_ = -1;
  int64_t size_ = 0;
};

}  // namespace mixop::cli
