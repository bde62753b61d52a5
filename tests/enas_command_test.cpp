// `mixop search enas-micro|enas-macro|enas-nb201`: whole runs on tiny networks, resumed in both phases, and its
// refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "nas/search/enas_controller.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/space/nb201.h"
#include "tests/support/command.h"
#include "tests/support/generated_table.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

// An epoch has five steps of the weights (the last of 8 images) and six samples of the controller, in two updates.
Arguments small(const std::string& space) {
  const Arguments common = {"search",       space,  "--data",       "synthetic:8x8x1:4:60",
                            "--channels",   "4",    "--batch",      "10",
                            "--epochs",     "2",    "--units",      "4",
                            "--updates",    "2",    "--aggregate",  "3",
                            "--log-every",  "1",    "--ckpt-every", "4",
                            "--progress",   "none", "--threads",    "1",
                            "--candidates", "3",    "--finalists",  "2"};
  if (space == "enas-nb201") return common + Arguments{"--cells", "1", "--train-portion", "0.8"};
  return common + Arguments{"--valid-portion", "0.2"} +
         (space == "enas-micro" ? Arguments{"--layers", "1", "--no-auxiliary", "--reward-dropout"}
                                : Arguments{"--layers", "3"});
}

class EnasCommand : public testing::TestWithParam<const char*> {};

TEST_P(EnasCommand, GoesOnFromAnyStepBitForBit) {
  const TemporaryDirectory dir;
  Arguments arguments = small(GetParam());
  if (std::string(GetParam()) == "enas-nb201")
    arguments =
        arguments + Arguments{"--table", generated_tables().nb201(), "--ranked", "4", "--baseline-moves", "epoch"};
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
  else if (std::string(GetParam()) == "enas-nb201") EXPECT_NO_THROW((void)nas::Nb201Space().parse(text));
  else EXPECT_NO_THROW((void)nas::EnasMacroSpace(3).parse(text));
  EXPECT_NE(o.out.find("random ones"), std::string::npos) << o.out;
  EXPECT_NE(o.out.find("entropy of the controller"), std::string::npos) << o.out;
  // Three drawn architectures are wanted after each of two epochs; the validation images are two batches.
  const std::string lines = read(dir / "run" / "genotypes.txt");
  EXPECT_EQ(std::count(lines.begin(), lines.end(), '\n'), 4);
}

INSTANTIATE_TEST_SUITE_P(Spaces, EnasCommand, testing::Values("enas-micro", "enas-macro", "enas-nb201"),
                         [](const auto& info) { return std::string(info.param).substr(5); });

TEST(EnasNb201, IsScoredByTheTable) {
  const TemporaryDirectory dir;
  const std::string table = generated_tables().nb201();
  const Arguments arguments = small("enas-nb201") + Arguments{"--table", table, "--ranked", "5"};
  const Outcome o = run(arguments + Arguments{"--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  const Json parts = Json::parse(read(dir / "run" / "run.json")).at("data");
  EXPECT_EQ(parts.at("weights_part"), 48);
  EXPECT_EQ(parts.at("rewards_part"), 12);
  for (const char* word : {"skip connections: ", "table, cifar10: validation ",
                           "table, ImageNet16-120:", " random ", "Kendall's tau ", " over 5\n"})
    EXPECT_NE(o.out.find(word), std::string::npos) << word << "\n" << o.out;
  // What the table gives is that of the answer.
  std::string text = read(dir / "run" / "arch.txt");
  text.pop_back();
  const nas::Table known = nas::Table::open(fs::path(table));
  const auto row = known.find(nas::Nb201Space().parse(text));
  ASSERT_TRUE(row);
  char line[64];
  std::snprintf(line, sizeof line, " test %.2f %% after 200", known.value(*row, known.column("c10_test_200")));
  EXPECT_NE(o.out.find(line), std::string::npos) << line << o.out;
  // The table may change and the run is not done again; without one there is no score.
  const Outcome without = run({"search", "enas-nb201", "--resume", "--table", "", "--out", dir / "run"});
  ASSERT_EQ(without.status, 0) << without.err;
  EXPECT_NE(without.out.find("arch = " + text), std::string::npos) << without.out;
  EXPECT_EQ(without.out.find("table, "), std::string::npos) << without.out;
}

// A controller that never learns is that of its seed: one is looked for whose first answer is nearly all skip
// connections and zeros, and another that has few.
TEST(EnasNb201, WarnsOfACollapse) {
  const TemporaryDirectory dir;
  nas::EnasControllerOptions options = nas::EnasControllerOptions::nb201();
  options.units = 4;
  const auto answer = [&](uint64_t seed) {
    nas::Random random(seed, /*stream=*/2);
    return nas::EnasController(options, seed).sample(random).arch;
  };
  for (const bool collapsed : {true, false}) {
    uint64_t seed = 0;
    const auto idle = [&] { return std::ranges::count_if(answer(seed), [](int32_t op) { return op < 2; }); };
    while (collapsed ? idle() < 5 : idle() > 3) ++seed;
    const fs::path out = dir / std::to_string(collapsed);
    const Outcome o = run(small("enas-nb201") + Arguments{"--seed", std::to_string(seed), "--updates", "0",
                                                          "--epochs", "1", "--candidates", "1", "--out", out});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("arch = " + nas::Nb201Space().format(answer(seed)) + "\n"), std::string::npos) << o.out;
    EXPECT_EQ(o.out.find("warning: the search has collapsed") != std::string::npos, collapsed) << o.out;
  }
}

void expect_refused(const Arguments& arguments, const std::string& what) {
  const Outcome o = run(arguments);
  EXPECT_NE(o.status, 0);
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_NE(o.err.find(what), std::string::npos) << o.err;
}

TEST(EnasCommandRefuses, WhatCannotBe) {
  const TemporaryDirectory dir;
  const Arguments micro = small("enas-micro") + Arguments{"--out", dir / "run"};
  expect_refused(micro + Arguments{"--set", "search.channels=3"}, "even number");
  expect_refused(micro + Arguments{"--set", "data.valid_portion=0"}, "data.valid_portion");
  expect_refused(micro + Arguments{"--skip-weight", "1"}, "--skip-weight");
  expect_refused(small("enas-macro") + Arguments{"--set", "search.layers=2", "--out", dir / "run"}, "layers");

  const Arguments nb201 = small("enas-nb201") + Arguments{"--out", dir / "run"};
  nas::write_table(dir / "macro.table", {.space = "nbmacro",
                                         .source = "a test",
                                         .archs = {{0, 0, 0, 0, 0, 0, 0, 0}},
                                         .columns = {{"val", "%", "", "cifar10", "val", 50}},
                                         .values = {{90}}});
  expect_refused(nb201 + Arguments{"--table", dir / "macro.table"},
                 "macro.table: is a table of the space nbmacro, but the search is of nb201");
  expect_refused(nb201 + Arguments{"--table", dir / "absent"}, "absent");
  expect_refused(nb201 + Arguments{"--set", "data.train_portion=1"}, "train portion 1");
  expect_refused(nb201 + Arguments{"--data", "synthetic:6x6x1:4:60"}, "divisible by 4");
  expect_refused(nb201 + Arguments{"--layers", "3"}, "--layers");
}

TEST(EnasCommandRefuses, ARunOfTheOtherSpace) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(small("enas-micro") + Arguments{"--out", dir / "run", "--max-steps", "1"}).status, 0);
  expect_refused({"search", "enas-macro", "--resume", "--out", dir / "run"}, "enas-micro");
  expect_refused({"search", "enas-nb201", "--resume", "--out", dir / "run"},
                 "search.space of the run is \"enas-micro\"");
}

}  // namespace
}  // namespace mixop::test
