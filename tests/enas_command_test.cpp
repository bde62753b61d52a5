// `mixop search enas-micro|enas-macro`: whole runs on tiny networks, resumed in both phases, and its refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "tests/support/command.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

// An epoch has five steps of the weights (the last of 8 images) and six samples of the controller, in two updates.
Arguments small(const std::string& space) {
  const Arguments common = {"search",          space,  "--data",       "synthetic:8x8x1:4:60",
                            "--channels",      "4",    "--batch",      "10",
                            "--epochs",        "2",    "--units",      "4",
                            "--updates",       "2",    "--aggregate",  "3",
                            "--log-every",     "1",    "--ckpt-every", "4",
                            "--progress",      "none", "--threads",    "1",
                            "--valid-portion", "0.2",  "--candidates", "3",
                            "--finalists",     "2"};
  return common + (space == "enas-micro" ? Arguments{"--layers", "1", "--no-auxiliary", "--reward-dropout"}
                                         : Arguments{"--layers", "3"});
}

class EnasCommand : public testing::TestWithParam<const char*> {};

TEST_P(EnasCommand, GoesOnFromAnyStepBitForBit) {
  const TemporaryDirectory dir;
  const Arguments arguments = small(GetParam());
  const Outcome whole = run(arguments + Arguments{"--out", dir / "whole"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  Outcome last;
  // Among the weights, between the phases, within an update, between two updates, at the end of an epoch.
  for (const char* steps : {"3", "5", "6", "8", "11", "18", "0"}) {
    last = run(arguments + Arguments{"--out", dir / "parts", "--resume", "--max-steps", steps});
    ASSERT_EQ(last.status, 0) << last.err;
  }
  expect_equal(result_of(dir / "whole"), result_of(dir / "parts"));
  for (const char* file : {"finalists.tsv", "arch.txt", "arch.dot"})
    EXPECT_EQ(read(dir / "whole" / file), read(dir / "parts" / file)) << file;
  const auto report = [](const std::string& out) { return out.substr(0, out.find("\ncost ")); };
  EXPECT_EQ(report(whole.out), report(last.out));
}

TEST_P(EnasCommand, ReportsAnArchitectureOfItsSpace) {
  const TemporaryDirectory dir;
  const Outcome o = run(small(GetParam()) + Arguments{"--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  std::string text = read(dir / "run" / "arch.txt");
  text.pop_back();
  EXPECT_NE(o.out.find("arch = " + text + "\n"), std::string::npos) << o.out;
  if (std::string(GetParam()) == "enas-micro") EXPECT_NO_THROW((void)nas::EnasMicroSpace().parse(text));
  else EXPECT_NO_THROW((void)nas::EnasMacroSpace(3).parse(text));
  EXPECT_NE(o.out.find("random ones"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("entropy of the controller"), std::string::npos) << o.out;
  // Three drawn architectures are wanted after each of two epochs; the validation images are two batches.
  const std::string lines = read(dir / "run" / "genotypes.txt");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 4);
}

INSTANTIATE_TEST_SUITE_P(Spaces, EnasCommand, testing::Values("enas-micro", "enas-macro"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

void expect_refused(const Arguments& arguments, const std::string& what) {
  const Outcome o = run(arguments);
  EXPECT_NE(o.status, 0);
  EXPECT_NE(o.err.find(what), std::string::npos) << o.err;
}

TEST(EnasCommandRefuses, WhatCannotBe) {
  const TemporaryDirectory dir;
  const Arguments micro = small("enas-micro") + Arguments{"--out", dir / "run"};
  expect_refused(micro + Arguments{"--set", "search.channels=3"}, "even number");
  expect_refused(micro + Arguments{"--set", "data.valid_portion=0"}, "data.valid_portion");
  expect_refused(micro + Arguments{"--skip-weight", "1"}, "--skip-weight");
  expect_refused(small("enas-macro") + Arguments{"--set", "search.layers=2", "--out", dir / "run"}, "layers");
}

TEST(EnasCommandRefuses, ARunOfTheOtherSpace) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(small("enas-micro") + Arguments{"--out", dir / "run", "--max-steps", "1"}).status, 0);
  expect_refused({"search", "enas-macro", "--resume", "--out", dir / "run"}, "enas-micro");
}

}  // namespace
}  // namespace mixop::test
