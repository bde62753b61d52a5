// Mistakes in how the command was called, as opposed to failures of its work.
#pragma once

#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace mixop::cli {

/// An unknown flag or key, a value out of range, flags that exclude each other: exit status 2.
struct UsageError : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// The known word with the fewest edits (insert, delete, replace) from `word`; empty when nothing is known.
std::string nearest(std::string_view word, const std::vector<std::string>& known);

/// "a, b, c".
std::string join(const std::vector<std::string>& parts);

}  // namespace mixop::cli
