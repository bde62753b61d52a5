// Runs the built command as a user would: arguments in, exit status and both streams out.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <string>
#include <vector>

namespace mixop::test {

struct Outcome {
  int status = 0;  ///< exit status, or 128 + the signal that ended it
  std::string out, err;
};

/// A directory of its own, gone when the object is.
class TemporaryDirectory {
 public:
  TemporaryDirectory();
  ~TemporaryDirectory();
  const std::filesystem::path& path() const { return path_; }
  std::filesystem::path operator/(const std::string& name) const { return path_ / name; }

 private:
  std::filesystem::path path_;
};

/// One running `mixop`, with its working directory in a directory of its own.
class Command {
 public:
  explicit Command(const std::vector<std::string>& arguments);
  ~Command();
  void signal(int number) const;
  Outcome wait();

 private:
  TemporaryDirectory streams_;
  pid_t pid_ = -1;
};

inline Outcome run(const std::vector<std::string>& arguments) { return Command(arguments).wait(); }

std::string read(const std::filesystem::path& path);
void write(const std::filesystem::path& path, const std::string& text);

}  // namespace mixop::test
