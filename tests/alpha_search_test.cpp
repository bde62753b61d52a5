// The searches that learn alphas, as commands: what they print and refuse, and that they resume bit for bit.
#include <gtest/gtest.h>

#include "nas/cli/search_report.h"
#include "nas/sharing/nb201_mixed.h"
#include "tests/support/command.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

Arguments search(const std::string& method) {
  return Arguments{"search",     method, "--data",      "synthetic:8x8x1:4:40",
                   "--channels", "4",    "--cells",     "2",
                   "--nodes",    "2",    "--batch",     "8",
                   "--epochs",   "3",    "--log-every", "1",
                   "--progress", "none", "--threads",   "1"};
}

TEST(AlphaSearch, EveryMethodResumesBitForBit) {
  for (const std::string name : {"darts", "fair-darts", "darts-minus", "beta-darts", "snas", "gdas"}) {
    const TemporaryDirectory dir;
    const Arguments arguments = search(name);
    const Outcome whole = run(arguments + Arguments{"--out", dir / "whole"});
    ASSERT_EQ(whole.status, 0) << name << ": " << whole.err;
    EXPECT_NE(whole.out.find("genotype = Genotype("), std::string::npos) << whole.out;
    EXPECT_NE(whole.out.find("supernet validation accuracy"), std::string::npos) << whole.out;
    EXPECT_NE(whole.out.find("skip connections: "), std::string::npos) << whole.out;
    for (const char* steps : {"1", "5"}) {
      const Outcome part = run(arguments + Arguments{"--out", dir / "parts", "--resume", "--max-steps", steps});
      ASSERT_EQ(part.status, 0) << name << ": " << part.err;
    }
    // All settings are taken from the run.
    const Outcome last =
        run({"search", name, "--out", dir / "parts", "--resume", "--threads", "2", "--progress", "none"});
    ASSERT_EQ(last.status, 0) << name << ": " << last.err;
    const Result result = result_of(dir / "whole");
    expect_equal(result, result_of(dir / "parts"));
    EXPECT_NE(result.position.at("task").at("alphas").dump().find("0."), std::string::npos);
    if (HasFailure()) FAIL() << name;
  }
}

TEST(AlphaSearch, DryRunsDescribeTheSearch) {
  const Outcome gdas = run(search("gdas") + Arguments{"--dry-run"});
  EXPECT_EQ(gdas.status, 0) << gdas.err;
  EXPECT_NE(gdas.out.find("temperature = 10"), std::string::npos) << gdas.out;
  EXPECT_NE(gdas.out.find("nesterov = true"), std::string::npos) << gdas.out;
  const Outcome snas = run(search("snas") + Arguments{"--dry-run"});
  EXPECT_NE(snas.out.find("36 images train weights and alphas, 4 are for evaluation"), std::string::npos)
      << snas.out;
  EXPECT_EQ(snas.out.find("arch_step"), std::string::npos) << snas.out;
}

void expect_refused(const Arguments& arguments, const std::string& words) {
  const Outcome o = run(arguments);
  EXPECT_NE(o.status, 0) << words;
  EXPECT_NE(o.err.find(words), std::string::npos) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

TEST(AlphaSearch, RefusesInOneLine) {
  const TemporaryDirectory dir;
  const Arguments out{"--out", dir / "run"};
  expect_refused(search("gdas") + Arguments{"--temperature", "0"} + out, "must be above 0");
  expect_refused(search("fair-darts") + Arguments{"--threshold", "1"} + out, "not between 0 and 1");
  expect_refused(search("fair-darts") + Arguments{"--threshold", "2"} + out, "--threshold: 2 is not in 0..1");
  expect_refused(search("snas") + Arguments{"--space", "nasnet"} + out, "is not one of darts");
  ASSERT_EQ(run(search("darts") + Arguments{"--max-steps", "1", "--out", dir / "darts"}).status, 0);
  expect_refused({"search", "beta-darts", "--resume", "--out", dir / "darts", "--progress", "none"},
                 "search.algo of the run is \"darts1\"");
}

TEST(AlphaSearch, CollapsesAreCounted) {
  const auto cell = [](int skips) {
    std::string edges;
    for (int e = 0; e < 8; ++e)
      edges += std::string(e ? ", " : "") + (e < skips ? "('skip_connect', " : "('sep_conv_3x3', ") +
               (e % 2 ? "1)" : "0)");
    return "[" + edges + "]";
  };
  const auto darts = nas::darts_mixed_space({.channels = 4, .cells = 3});
  const auto report = [&](int normal, int reduce) {
    return cli::describe_skips(*darts, "Genotype(normal=" + cell(normal) + ", normal_concat=[2, 3, 4, 5], reduce=" +
                                           cell(reduce) + ", reduce_concat=[2, 3, 4, 5])");
  };
  EXPECT_EQ(report(5, 2), "skip connections: 5 of 8 in the normal cell, 2 of 8 in the reduce cell\n");
  EXPECT_NE(report(6, 2).find("collapsed: 6 of 8 operations of the normal cell"), std::string::npos);
  EXPECT_NE(report(0, 8).find("collapsed: 8 of 8 operations of the reduce cell"), std::string::npos);
  const std::string nb201 =
      "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|none~2|";
  EXPECT_EQ(cli::describe_skips(*nas::nb201_mixed_space({}), nb201)
                .rfind("skip connections: 5 of 6, and 1 none\nwarning", 0),
            0u);
}

}  // namespace
}  // namespace mixop::test
