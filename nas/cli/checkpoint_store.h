// The checkpoints of a run: RUN/ckpt/NNNNNN/ with files and their SHA256SUMS, whole or absent, and the link
// `latest`.
#pragma once

#include <filesystem>
#include <functional>
#include <map>
#include <optional>
#include <string>

namespace mixop::cli {

struct Checkpoint {
  std::filesystem::path path;
  std::map<std::string, std::string> files;  ///< content by name
  /// Throws mixop::Error when it has no such file.
  const std::string& file(const std::string& name) const;
};

/// Reads one checkpoint. Throws mixop::Error naming the file that is missing or does not have its checksum.
Checkpoint read_checkpoint(const std::filesystem::path& path);

class CheckpointStore {
 public:
  /// `folder` is RUN/ckpt; the last `keep` checkpoints stay.
  CheckpointStore(std::filesystem::path folder, int64_t keep) : folder_(std::move(folder)), keep_(keep) {}

  /// Makes the folder and clears what a killed process left half done.
  void prepare();
  /// Writes folder/NNNNNN by renaming a finished folder, moves `latest` to it and removes old ones.
  void write(int64_t step, const std::map<std::string, std::string>& files);
  /// The newest whole checkpoint, or nothing when there is none at all. A damaged one is set aside as
  /// NNNNNN.damaged and reported through `warn`; throws when all are damaged.
  std::optional<Checkpoint> newest(const std::function<void(const std::string&)>& warn);

 private:
  std::map<int64_t, std::filesystem::path> list() const;  // by step
  std::filesystem::path folder_;
  int64_t keep_;
};

}  // namespace mixop::cli
