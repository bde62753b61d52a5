// Black-box searches through the command, and what must agree between two of them.
#pragma once

#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/arguments.h"

namespace mixop::test {

/// Candidates of a few milliseconds.
inline const Arguments kTiny = {"--data",         "synthetic:8x8x1:4:96",
                                "--val-images",   "32",
                                "--channels",     "2",
                                "--train-batch",  "16",
                                "--threads",      "1",
                                "--progress",     "none",
                                "--ckpt-seconds", "0"};

/// The lines of evaluations.jsonl without measured seconds.
inline std::vector<Json> evaluations_of(const fs::path& run) {
  std::vector<Json> all;
  std::istringstream in(read(run / "evaluations.jsonl"));
  for (std::string line; std::getline(in, line);) {
    Json j = Json::parse(line);
    EXPECT_EQ(j.erase("cost"), 1u);
    EXPECT_EQ(j.erase("seconds"), 1u);
    all.push_back(std::move(j));
  }
  return all;
}

}  // namespace mixop::test
