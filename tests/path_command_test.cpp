// Searches by sampled paths through the command: reports, resumption in training and in the search, bad input.
#include <algorithm>
#include <cstdio>

#include "tests/support/generated_table.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

Arguments path_search(const std::string& method, const Arguments& more = {}) {
  Arguments a = {"search",      method,  "--data",       "synthetic:8x8x1:4:64",
                 "--space",     "nb201", "--channels",   "4",
                 "--cells",     "1",     "--epochs",     "2",
                 "--batch",     "16",    "--ckpt-every", "1",
                 "--threads",   "1",     "--progress",   "none",
                 "--log-every", "1",     "--seed",       "5"};
  const Arguments own = method == "spos" ? Arguments{"--population",
                                                     "4",
                                                     "--generations",
                                                     "3",
                                                     "--crossovers",
                                                     "1",
                                                     "--mutants",
                                                     "1",
                                                     "--top",
                                                     "2",
                                                     "--recalibration-batches",
                                                     "2",
                                                     "--recalibration-batch",
                                                     "16"}
                                         : Arguments{"--samples", "5", "--score-batches", "1", "--top", "2"};
  a.insert(a.end(), own.begin(), own.end());
  a.insert(a.end(), more.begin(), more.end());
  return a;
}

Arguments with_out(Arguments a, const fs::path& out) {
  a.insert(a.end(), {"--out", out.string()});
  return a;
}

class PathCommand : public testing::TestWithParam<const char*> {};

TEST_P(PathCommand, SaysWhatTheTableSays) {
  const TemporaryDirectory dir;
  const std::string table = generated_tables().nb201();
  const Outcome o = run(with_out(path_search(GetParam(), {"--table", table, "--ranked", "6"}), dir / "run"));
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* word : {"architecture = |", "accuracy with shared weights ", "synthetic/train",
                           "skip connections: ", "table, cifar10: validation ",
                           "table, ImageNet16-120:", "Kendall's tau ", " over 6\n"})
    EXPECT_NE(o.out.find(word), std::string::npos) << word << "\n" << o.out;
  const std::string scored = read(dir / "run" / "scored.tsv");
  EXPECT_EQ(std::count(scored.begin(), scored.end(), '\n'), (std::string(GetParam()) == "spos" ? 12 : 7) + 6 + 1);
}

/// Stopped after any number of steps, in training and in the search, a run ends as one that was not.
TEST_P(PathCommand, ResumesBitForBit) {
  const TemporaryDirectory dir;
  const Arguments a = path_search(GetParam());
  const Outcome whole = run(with_out(a, dir / "whole"));
  ASSERT_EQ(whole.status, 0) << whole.err;
  // 4 steps of training, then those that score: within a round, at its end, in the next one.
  ASSERT_EQ(run(with_out(path_search(GetParam(), {"--max-steps", "3"}), dir / "cut")).status, 0);
  for (const char* steps : {"4", "6", "8", "10"}) {
    const Outcome o = run({"search", GetParam(), "--resume", "--progress", "none", "--max-steps", steps, "--out",
                           (dir / "cut").string()});
    ASSERT_EQ(o.status, 0) << o.err;
  }
  const Outcome last =
      run({"search", GetParam(), "--resume", "--progress", "none", "--out", (dir / "cut").string()});
  ASSERT_EQ(last.status, 0) << last.err;
  const auto answer = [](const Outcome& o) { return o.out.substr(0, o.out.find("cost ")); };
  EXPECT_EQ(answer(last), answer(whole));
  EXPECT_EQ(read(dir / "cut" / "scored.tsv"), read(dir / "whole" / "scored.tsv"));
  expect_equal(result_of(dir / "whole"), result_of(dir / "cut"));
}

INSTANTIATE_TEST_SUITE_P(Methods, PathCommand, testing::Values("random-ws", "spos", "one-shot"),
                         [](const auto& info) {
                           std::string name = info.param;
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

TEST(PathCommand, PrunesAOneShotNetworkAndResumes) {
  const TemporaryDirectory dir;
  const Arguments prune = path_search("one-shot", {"--select", "pruning"});
  const Outcome whole = run(with_out(prune, dir / "whole"));
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_NE(whole.out.find("architecture = |"), std::string::npos) << whole.out;
  const std::string scored = read(dir / "whole" / "scored.tsv");
  EXPECT_EQ(std::count(scored.begin(), scored.end(), '\n'), 1 + 24 + 12 + 6);
  EXPECT_NE(scored.find("\tall of 24 but alphas[0] skip_connect\n"), std::string::npos) << scored;
  for (const char* steps : {"9", "30"})  // in the first and in the second round
    ASSERT_EQ(run(with_out(prune + Arguments{"--resume", "--max-steps", steps}, dir / "cut")).status, 0);
  const Outcome last = run(with_out(prune + Arguments{"--resume"}, dir / "cut"));
  ASSERT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(read(dir / "cut" / "scored.tsv"), scored);
  const Outcome limited =
      run(with_out(path_search("one-shot", {"--select", "pruning", "--max-mmacs", "1"}), dir / "limited"));
  EXPECT_NE(limited.status, 0);
  EXPECT_NE(limited.err.find("--select pruning keeps within no limits"), std::string::npos) << limited.err;
}

/// The flags of path dropout reach the training.
TEST(PathCommand, DropsPathsInOneShotTraining) {
  const TemporaryDirectory dir;
  const auto weights = [&](const char* name, const Arguments& more) {
    const Outcome o = run(with_out(path_search("one-shot", more), dir / name));
    EXPECT_EQ(o.status, 0) << o.err;
    return read(dir / name / "ckpt" / "latest" / "weights.safetensors");
  };
  const std::string none = weights("none", {"--path-dropout", "0"});
  EXPECT_NE(none, weights("half", {"--path-dropout", "0.5"}));
  EXPECT_NE(none, weights("ghosts", {"--path-dropout", "0", "--ghost", "8"}));
}

TEST(PathCommand, SearchesTheDartsSpace) {
  const TemporaryDirectory dir;
  const Outcome o = run({"search",          "random-ws",
                         "--data",          "synthetic:8x8x1:4:32",
                         "--epochs",        "1",
                         "--channels",      "2",
                         "--cells",         "3",
                         "--batch",         "8",
                         "--samples",       "2",
                         "--top",           "1",
                         "--threads",       "1",
                         "--progress",      "none",
                         "--out",           (dir / "run").string(),
                         "--score-batches", "1"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_NE(o.out.find("architecture = Genotype("), std::string::npos) << o.out;
}

/// Methods that learn alphas search the same supernet and are scored in the same way.
TEST(AlphaSearchOfNb201, IsScoredByTheTable) {
  const TemporaryDirectory dir;
  const Arguments small = {
      "--data", "synthetic:8x8x1:4:64", "--channels", "4",         "--cells", "1",       "--epochs", "1", "--batch",
      "16",     "--progress",           "none",       "--threads", "1",       "--space", "nb201"};
  const auto search = [&](const std::string& method, const Arguments& more) {
    Arguments a = {"search", method};
    a.insert(a.end(), small.begin(), small.end());
    a.insert(a.end(), more.begin(), more.end());
    return run(with_out(a, dir / method));
  };
  const Outcome o =
      search("darts", {"--table", generated_tables().nb201(), "--ranked", "5", "--rank-batches", "1"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* word : {"genotype = |", "skip connections: ", "table, cifar10: validation ", " over 5\n"})
    EXPECT_NE(o.out.find(word), std::string::npos) << word << "\n" << o.out;
  const Outcome refused = search("pc-darts", {});
  EXPECT_NE(refused.status, 0);
  EXPECT_NE(refused.err.find("'nb201' is not one of darts"), std::string::npos) << refused.err;
}

TEST(PathCommand, RefusesWhatCannotBe) {
  const TemporaryDirectory dir;
  const auto expect_refused = [&](const Arguments& more, const std::vector<std::string>& words) {
    Arguments a = path_search("random-ws", more);
    const Outcome o = run(with_out(a, dir / "none"));
    EXPECT_NE(o.status, 0);
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
    for (const std::string& word : words) EXPECT_NE(o.err.find(word), std::string::npos) << word << "\n" << o.err;
  };
  expect_refused({"--space", "darts", "--table", generated_tables().nb201()},
                 {"nb201.table", "space nb201", "search is of darts", "--space nb201"});
  expect_refused({"--space", "nasnet"}, {"--space", "nasnet", "darts", "nb201"});
  expect_refused({"--table", (dir / "absent").string()}, {"absent"});
  expect_refused({"--max-parameters", "10"}, {"none of", "keeps within the limits", "--max-parameters"});

  ASSERT_EQ(run(with_out(path_search("random-ws", {"--max-steps", "1"}), dir / "run")).status, 0);
  const Outcome o = run({"search", "random-ws", "--resume", "--space", "darts", "--out", (dir / "run").string()});
  EXPECT_NE(o.status, 0);
  EXPECT_NE(o.err.find("space"), std::string::npos) << o.err;
  const Outcome other = run({"search", "spos", "--resume", "--out", (dir / "run").string()});
  EXPECT_NE(other.status, 0);
  EXPECT_NE(other.err.find("random-ws"), std::string::npos) << other.err;
  EXPECT_EQ(std::count(other.err.begin(), other.err.end(), '\n'), 1) << other.err;
}

TEST(PathCommand, KeepsWithinMultiplyAddsAndLatency) {
  const TemporaryDirectory dir;
  const Outcome o =
      run(with_out(path_search("spos", {"--max-mmacs", "0.05", "--max-latency", "1000"}), dir / "run"));
  ASSERT_EQ(o.status, 0) << o.err;
  double macs = 1;
  const size_t line = o.out.find('\n') + 1;
  ASSERT_EQ(std::sscanf(o.out.c_str() + line, "%lf MMAC", &macs), 1) << o.out;
  EXPECT_LE(macs, 0.05);
  EXPECT_NE(o.out.find(" ms an image"), std::string::npos);
}

}  // namespace
}  // namespace mixop::test
