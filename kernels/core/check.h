// Errors: one clear line that names the thing and the remedy, thrown as mixop::Error.
#pragma once

#include <sstream>
#include <stdexcept>
#include <string>

namespace mixop {

/// Every failure that a user can cause or mend: bad input, bad shapes, missing files. The command prints what() and
/// exits 1.
struct Error : std::runtime_error {
  using std::runtime_error::runtime_error;
};

namespace kernels {

/// Concatenates the printed forms of its arguments.
template <class... Parts>
std::string text(const Parts&... parts) {
  std::ostringstream out;
  (out << ... << parts);
  return out.str();
}

/// Throws mixop::Error with the given parts joined.
template <class... Parts>
[[noreturn]] void fail(const Parts&... parts) {
  throw Error(text(parts...));
}

}  // namespace kernels
}  // namespace mixop

/// Throws mixop::Error made of the message parts when the condition does not hold.
#define MIXOP_CHECK(condition, ...)                        \
  do {                                                     \
    if (!(condition)) ::mixop::kernels::fail(__VA_ARGS__); \
  } while (0)
