// A golden case: a folder with manifest.json and one .npy file per tensor.
#pragma once

#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <vector>

namespace mixop::cli {

/// An operation or parameter that this program does not know: neither right nor wrong.
struct NotCovered : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct GoldenTensor {
  std::string role;  ///< input, output, upstream_grad, grad; empty where tensors go by name alone
  std::vector<int64_t> shape;
  bool integers = false;
  std::vector<double> values;  ///< C order of the file
};

struct GoldenCase {
  std::filesystem::path folder;
  std::string name, op;
  nlohmann::json manifest;  ///< all of it
  nlohmann::json params;
  std::vector<std::string> order;  ///< names of the tensors as listed
  std::map<std::string, GoldenTensor> tensors;

  bool has(const std::string& tensor) const { return tensors.count(tensor) > 0; }
  /// Throws mixop::Error when there is none.
  const GoldenTensor& at(const std::string& tensor) const;
};

/// Reads a case. Throws mixop::Error naming the file: no manifest, not JSON, keys missing or of the wrong kind, a
/// tensor whose file disagrees with the manifest in shape or type.
GoldenCase load_case(const std::filesystem::path& folder);

/// The folders of cases below `folder` (which may be one itself), by name: those with a manifest, and those that
/// have lost it but hold arrays. Throws mixop::Error when none has a manifest.
std::vector<std::filesystem::path> find_cases(const std::filesystem::path& folder);

}  // namespace mixop::cli
