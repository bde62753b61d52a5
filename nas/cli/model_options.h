// The flags that name a network and its sizes: of `arch stats`, `plan` and `tune`.
#pragma once

#include <CLI/CLI.hpp>
#include <optional>
#include <string>

#include "nas/network.h"

namespace mixop::cli {

struct ModelOptions {
  std::string spec;
  std::optional<int64_t> channels, classes;
  std::optional<int> cells;
  std::optional<std::string> image;  ///< "HxWxC"
  int nodes = 4;
  bool auxiliary = false, imagenet = false;

  void add_to(CLI::App& command);
  /// True when the search network is meant, not a derived one.
  bool supernet() const { return spec == "supernet"; }
  /// Sizes that were not given are those of the papers: the supernet has 16 channels and 8 cells, a derived network
  /// 36 and 20 for 32x32x3 images of 10 classes, for ImageNet 48 and 14, 224x224x3 and 1000. Throws UsageError for
  /// a flag that does not fit, mixop::Error for an unknown genotype.
  nas::SupernetOptions supernet_options() const;
  nas::NetworkOptions network_options() const;
  /// Of an architecture of another space; sizes that were not given are those of nas::NetworkScale. Throws
  /// UsageError for flags of genotypes.
  nas::NetworkScale scale() const;
};

/// "C=36, 20 cells, 32x32x3, 10 classes".
template <class Options>
std::string describe_sizes(const Options& o) {
  return kernels::text("C=", o.channels, ", ", o.cells, " cells, ", o.height, "x", o.width, "x", o.image_channels,
                       ", ", o.classes, " classes");
}

/// 3349342 as "3,349,342".
std::string grouped(int64_t n);

}  // namespace mixop::cli
