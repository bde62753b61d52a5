// The words that tests of the command share: lists of arguments, files and JSON.
#pragma once

#include <nlohmann/json.hpp>

#include "tests/support/command.h"

namespace mixop::test {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

inline Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

}  // namespace mixop::test
