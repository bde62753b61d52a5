// mixop plan --space: the networks of a space of shared weights, counted layer by layer.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "nas/cli/model_options.h"

namespace mixop::cli {

/// The flags that say which network of a space; sizes are those of ModelOptions.
struct SpacePlanOptions {
  std::string space;  ///< empty: none was asked for
  std::string arch;   ///< its text, "published" or "@file"; empty: all architectures of the search
  bool final_network = false;

  void add_to(CLI::App& command);
};

/// Prints parameters, the auxiliary head's apart, and the output of every layer: of a supernet, or of an ENAS
/// network: the search's child, one architecture in it (--arch), or what is trained from scratch (--final). Throws
/// UsageError for flags that do not fit, mixop::Error for a bad architecture or impossible sizes.
int plan_in_space(const SpacePlanOptions& options, const ModelOptions& sizes, bool json);

}  // namespace mixop::cli
