// The directory of one run: who may use it, run.json, and the files that grow.
#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nas/cli/append_file.h"
#include "nas/cli/config.h"

namespace mixop::cli {

class RunDirectory {
 public:
  enum class Start : uint8_t { kFresh, kResume, kForce };

  /// Looks, and touches nothing. Throws mixop::Error when `path` is no directory, holds something and `start` is
  /// kFresh, or holds something that is not a run and `start` is kResume or kForce. `growing` names the files that
  /// grow, besides log.txt.
  RunDirectory(std::filesystem::path path, Start start,
               std::vector<std::string> growing = {"metrics.jsonl", "genotypes.txt"});
  /// Removes a directory that prepare() made and nothing was written to.
  ~RunDirectory();

  const std::filesystem::path& path() const { return path_; }
  /// run.json of the run to resume; null when there is none yet.
  const Json* stored() const { return stored_ ? &*stored_ : nullptr; }

  /// Makes the directory, locks it against a second process and tries to write. Throws mixop::Error, before any
  /// long work, when it is read-only, full or in use.
  void prepare();
  /// Starts writing: with kForce the old run goes, a run that is not resumed gets its run.json, and `bytes` free
  /// bytes are made sure of. Only after this the members below may be used.
  void begin(const Json& run, int64_t bytes);

  /// A line of log.txt, with the time in front as the DARTS code prints it.
  void log(const std::string& text);
  AppendFile& file(const std::string& name) { return *files_.at(name); }
  AppendFile& metrics() { return file("metrics.jsonl"); }
  AppendFile& genotypes() { return file("genotypes.txt"); }
  /// Lengths of the growing files, and back to those (an empty object: to nothing).
  Json offsets() const;
  void cut(const Json& offsets);
  void sync();
  /// Writes a file of the run atomically.
  void write(const std::string& name, std::string_view data) const;

 private:
  void lock();
  void probe(int64_t bytes) const;

  std::filesystem::path path_;
  Start start_;
  std::optional<Json> stored_;
  bool made_ = false, begun_ = false;
  int lock_ = -1;
  std::map<std::string, std::unique_ptr<AppendFile>> files_;  // the growing ones; null before begin()
};

}  // namespace mixop::cli
