// Second-order searches and early stopping through the command, and what mixop derive makes of a run.
#include "tests/support/command.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

const Arguments kShort = kSearch + Arguments{"--set", "search.epochs=3"};

TEST(SecondOrderRun, StoppedAndResumedHasTheSameBits) {
  for (const std::string form : {"finite-difference", "exact"}) {
    SCOPED_TRACE(form);
    const TemporaryDirectory dir;
    const Arguments search = kShort + Arguments{"--order", "2", "--hessian", form};
    const Outcome whole = run(search + Arguments{"--out", dir / "whole"});
    ASSERT_EQ(whole.status, 0) << whole.err;
    run(search + Arguments{"--out", dir / "stopped", "--max-steps", "7"});
    const Outcome rest = run(search + Arguments{"--out", dir / "stopped", "--resume", "--max-steps", "0"});
    ASSERT_EQ(rest.status, 0) << rest.err;
    expect_equal(result_of(dir / "whole"), result_of(dir / "stopped"));
    ASSERT_EQ(run(kShort + Arguments{"--out", dir / "first"}).status, 0);
    EXPECT_NE(read(dir / "first" / "alphas.npz"), read(dir / "whole" / "alphas.npz")) << "it is of first order";
  }
}

TEST(EigenvalueRun, EndsAtTheRiseWithTheAlphasBeforeItAndResumes) {
  const TemporaryDirectory dir;
  // Any value is more than that part of another: it ends as soon as it may, after the epoch 10.
  const Arguments search = kSearch + Arguments{"--set", "search.epochs=14", "--stop-eigenvalue", "1e-6"};
  const Outcome whole = run(search + Arguments{"--out", dir / "whole"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_NE(whole.out.find("stopped after epoch 10"), std::string::npos) << whole.out;
  std::vector<std::string> lines;
  std::istringstream genotypes(read(dir / "whole" / "genotypes.txt"));
  for (std::string line; std::getline(genotypes, line);) lines.push_back(line);
  ASSERT_EQ(lines.size(), 12U);  // epochs 0 to 10, and the result
  EXPECT_EQ(lines.back(), lines[4]) << "the middle of the five values before the last four measurements";
  EXPECT_NE(whole.out.find("genotype = " + lines[4].substr(2) + "\n"), std::string::npos) << whole.out;
  EXPECT_EQ(read(dir / "whole" / "eigenvalues.tsv").rfind("epoch\teigenvalue\n0\t", 0), 0U);

  ASSERT_EQ(run(search + Arguments{"--out", dir / "stopped", "--max-steps", "15"}).status, 0);
  const Outcome rest = run(search + Arguments{"--out", dir / "stopped", "--resume"});
  ASSERT_EQ(rest.status, 0) << rest.err;
  expect_equal(result_of(dir / "whole"), result_of(dir / "stopped"));
  EXPECT_EQ(read(dir / "whole" / "eigenvalues.tsv"), read(dir / "stopped" / "eigenvalues.tsv"));

  const Outcome never =
      run(kSearch + Arguments{"--stop-eigenvalue", "1.3", "--set", "run.eval_every=0", "--out", dir / "never"});
  EXPECT_NE(never.status, 0);
  EXPECT_NE(never.err.find("--stop-eigenvalue"), std::string::npos) << never.err;
}

TEST(Derive, GivesTheGenotypeOfAnyEpochAndPictures) {
  const TemporaryDirectory dir;
  const std::string out = dir / "run";
  ASSERT_EQ(run(kShort + Arguments{"--out", out}).status, 0);
  std::istringstream genotypes(read(dir / "run" / "genotypes.txt"));
  for (int epoch = 0; epoch < 3; ++epoch) {
    std::string line;
    ASSERT_TRUE(std::getline(genotypes, line));
    const Outcome o = run({"derive", out, "--epoch", std::to_string(epoch)});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.out.find("genotype = " + line.substr(line.find('\t') + 1) + "\n"), std::string::npos) << o.out;
  }
  for (const char* name :
       {"alphas_normal.svg", "alphas_reduce.svg", "entropy.svg", "evolution.svg", "cell_normal.svg"})
    EXPECT_EQ(read(dir / "run" / "derived" / name).rfind("<svg", 0), 0U) << name;
}

TEST(Derive, ByAccuracyListsTheBestFirst) {
  const TemporaryDirectory dir;
  const std::string out = dir / "run";
  ASSERT_EQ(run(kShort + Arguments{"--set", "search.nodes=4", "--out", out}).status, 0);
  const Outcome o = run({"derive", out, "--by", "accuracy", "--top", "4", "--threads", "1"});
  ASSERT_EQ(o.status, 0) << o.err;
  std::vector<double> accuracies;
  std::string first;
  std::istringstream lines(o.out);
  for (std::string line; std::getline(lines, line);)
    if (line.rfind("top1 ", 0) == 0) {
      accuracies.push_back(std::stod(line.substr(5)));
      if (first.empty()) first = line.substr(line.rfind("  ") + 2);
    }
  ASSERT_EQ(accuracies.size(), 4U) << o.out;
  EXPECT_TRUE(std::is_sorted(accuracies.rbegin(), accuracies.rend()));
  EXPECT_NE(o.out.find("genotype = " + first + "\n"), std::string::npos) << o.out;
  EXPECT_EQ(run({"derive", out, "--by", "accuracy", "--top", "4", "--threads", "1"}).out, o.out);
}

/// Candidates that a stage has dropped are neither named nor looked for in the checkpoint.
TEST(Derive, FollowsTheStagesOfAMethod) {
  const TemporaryDirectory dir;
  const std::string out = dir / "run";
  Arguments search = kSearch + Arguments{"--warmup",        "0",     "--deepen",       "0",     "--set",
                                         "search.epochs=1", "--set", "search.nodes=4", "--out", out};
  search[1] = "p-darts";
  ASSERT_EQ(run(search).status, 0);
  std::istringstream genotypes(read(dir / "run" / "genotypes.txt"));
  std::string line;
  for (int epoch = 0; std::getline(genotypes, line); ++epoch)
    EXPECT_NE(run({"derive", out, "--epoch", std::to_string(epoch)}).out.find(line.substr(2)), std::string::npos)
        << epoch;
  const Outcome o = run({"derive", out, "--by", "accuracy", "--top", "2", "--threads", "1"});
  EXPECT_EQ(o.status, 0) << o.err;
  const Outcome early = run({"derive", out, "--by", "accuracy", "--epoch", "0"});
  EXPECT_NE(early.err.find("epoch 0 is of stage 0"), std::string::npos) << early.err;
}

TEST(Derive, SaysWhatIsMissing) {
  const TemporaryDirectory dir;
  const auto complains = [](const Arguments& arguments, const std::string& what) {
    const Outcome o = run(arguments);
    EXPECT_NE(o.status, 0);
    EXPECT_NE(o.err.find(what), std::string::npos) << o.err;
  };
  complains({"derive", dir / "absent"}, "has no run.json");
  const std::string out = dir / "run";
  ASSERT_EQ(run(kShort + Arguments{"--out", out}).status, 0);
  complains({"derive", out, "--epoch", "3"}, "has epochs 0 to 2");
  complains({"derive", out, "--by", "size"}, "--by");
  fs::remove(dir / "run" / "alphas.npz");
  complains({"derive", out}, "has no alphas.npz");
  write(dir / "run" / "alphas.npz", "PK");
  complains({"derive", out}, "damaged");
}

}  // namespace
}  // namespace mixop::test
