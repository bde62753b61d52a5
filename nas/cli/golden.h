// Runs golden cases: recorded inputs and results against what this build computes.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

namespace mixop::cli {

/// Where a case is computed: "reference" is a float64 graph of the reference implementations, "cpu" a float32 graph
/// of the fast kernels, "cuda" the same graph on a GPU.
const std::vector<std::string>& golden_devices();
/// Those that this build and machine have.
std::vector<std::string> usable_golden_devices();

struct GoldenReport {
  enum class Status : uint8_t { kPass, kFail, kNotCovered } status = Status::kFail;
  /// Of the element that comes closest to its bound (or exceeds it most), both divided by its tensor's magnitude.
  double error = 0, bound = 0;
  /// Why not: the tensor, index, value wanted and got; or what is not covered or broken.
  std::string message;
  std::vector<std::string> not_covered;  ///< tensors left out of a case that passes
};

/// Loads the case in the folder and computes it on each device. Never throws: what goes wrong is in the reports.
std::vector<GoldenReport> run_golden_case(const std::filesystem::path& folder,
                                          const std::vector<std::string>& devices);

struct GoldenOptions {
  std::filesystem::path folder;
  std::vector<std::string> devices = usable_golden_devices();
  std::string filter = {};  ///< regular expression; a case whose name contains a match runs. Empty: all
  bool allow_uncovered = false;
};

/// Runs all cases below a folder, one line on standard output for each case and device, then a summary. True when
/// all passed. Throws mixop::Error when there is nothing to run.
bool verify_golden(const GoldenOptions& options);

}  // namespace mixop::cli
