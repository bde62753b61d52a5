// A program started in a process of its own: looked at, waited for, ended.
#pragma once

#include <sys/types.h>

#include <filesystem>
#include <optional>
#include <string>
#include <vector>

namespace mixop::cli {

class CandidateProcess {
 public:
  /// Starts `argv` (argv[0] is the program's path) in a process group of its own, so that an interrupt from the
  /// terminal reaches this process alone. Both its streams go to the file `log`. Throws mixop::Error when it cannot
  /// be started.
  CandidateProcess(const std::vector<std::string>& argv, const std::filesystem::path& log);
  /// Kills it if it still runs.
  ~CandidateProcess();
  CandidateProcess(const CandidateProcess&) = delete;
  CandidateProcess& operator=(const CandidateProcess&) = delete;

  /// Nothing while it runs, then how it ended: empty for status 0, else "ended with status 1" or "was killed by
  /// signal 9 (Killed)".
  const std::optional<std::string>& ended();
  /// Returns when it is gone.
  void kill();

 private:
  pid_t pid_ = -1;
  std::optional<std::string> ended_;
};

}  // namespace mixop::cli
