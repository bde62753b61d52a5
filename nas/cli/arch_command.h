// The parts of `mixop arch` that work on any space.
#pragma once

#include "nas/cli/commands.h"
#include "nas/network.h"

namespace mixop::cli {

/// "-" is standard output.
void write_output(const std::string& file, const std::string& text);

/// Flags that say which space an architecture is of.
struct SpaceFlags {
  std::string space;  ///< empty: DARTS genotypes, of which those outside of the search space too
  std::string order;  ///< of bare numbers, see read_arch()

  void add_to(CLI::App& command);
};

int convert_in_space(const SpaceFlags& flags, const std::string& spec, const std::string& form);
nas::NetworkSize measure_in_space(const SpaceFlags& flags, const std::string& spec, const nas::NetworkScale& scale);
int draw_in_space(const SpaceFlags& flags, const std::string& spec, const std::string& dot_file);

/// Adds `spaces`, `count` and `sample`.
void add_space_commands(CLI::App& arch, Action& action);

}  // namespace mixop::cli
