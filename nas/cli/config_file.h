// The TOML file of --config, flattened.
#pragma once

#include <string>
#include <vector>

namespace mixop::cli {

struct FileEntry {
  std::string name;   ///< dotted: "weights.lr"
  std::string text;   ///< the value as it would be typed after --set
  std::string place;  ///< "file.toml:3"
};

/// Throws UsageError with file and line for what is not TOML or cannot be the value of a key.
std::vector<FileEntry> read_config_file(const std::string& path);

}  // namespace mixop::cli
