// What an architecture may cost that a search is to find.
#pragma once

#include <map>

#include "datasets/dataset.h"
#include "nas/cli/config.h"
#include "nas/space/space.h"

namespace mixop::cli {

class PathLimits {
 public:
  /// select.max_mmacs, max_parameters and max_latency; both must outlive this.
  PathLimits(const Config& config, const datasets::Dataset& data) : config_(config), data_(data) {}

  bool any() const;
  /// Draws from the space, with random numbers of its own, until one is admitted. Throws mixop::Error when none of
  /// a thousand is: before a supernet is trained for nothing.
  void check(const nas::Space& space);
  bool admits(const nas::Arch& arch);
  /// "12.3 MMAC, 45678 parameters, 1.2 ms an image"; what is limited is part of it.
  std::string describe(const nas::Arch& arch);

  /// Measured times do not come out the same twice: a resumed search remembers them.
  Json save() const;
  void load(const Json& state);

 private:
  double milliseconds(const nas::Arch& arch);

  const Config& config_;
  const datasets::Dataset& data_;
  std::map<nas::Arch, double> measured_;
};

}  // namespace mixop::cli
