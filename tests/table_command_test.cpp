// The commands over benchmark tables, as a user meets them, on a generated table.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/generated_table.h"

namespace mixop::test {
namespace {

using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

size_t lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

void expect_refusal(const Arguments& arguments, int status, const Arguments& parts) {
  const Outcome o = run(arguments);
  EXPECT_EQ(o.status, status) << o.err;
  EXPECT_EQ(lines(o.err), 1u) << o.err;
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << part << " in: " << o.err;
}

// What succeeds, as printed.
std::string output(const Arguments& arguments) {
  const Outcome o = run(arguments);
  EXPECT_EQ(o.status, 0) << o.err;
  return o.out;
}

// The lines of a CSV that are the same in every run.
std::string without_wall_seconds(const std::string& csv) {
  std::string kept;
  for (size_t at = 0; at < csv.size();) {
    const size_t end = csv.find('\n', at) + 1;
    if (csv.substr(at, end - at).find(",wall seconds,") == std::string::npos) kept += csv.substr(at, end - at);
    at = end;
  }
  return kept;
}

TEST(DataImport, WritesTheSameTable) {
  const GeneratedTables& tables = generated_tables();
  const TemporaryDirectory dir;
  const std::string file = dir / "again.table";
  const std::string said =
      output({"data", "import", "nb201", tables / "nb201_trials.csv", tables / "nb201.csv", "-o", file});
  EXPECT_NE(said.find("15625 architectures of nb201, 29 columns"), std::string::npos) << said;
  EXPECT_EQ(output({"query", "--table", file, "--arch", "#9"}),
            output({"query", "--table", tables.nb201(), "--arch", "#9"}));
}

TEST(DataImport, NamesWhatIsWrong) {
  const GeneratedTables& tables = generated_tables();
  const std::string out = tables / "never.table";
  expect_refusal({"data", "import", "nb201", tables / "hw_c10.csv", "-o", out}, 1, {"hw_c10.csv", "code"});
  expect_refusal({"data", "import", "nb201", tables / "nb201_trials.csv", "-o", out}, 1, {"nb201.csv", "missing"});
  expect_refusal({"data", "import", "hwnasbench", tables / "nb201.csv", "-o", out}, 1, {"_c10.csv"});
  expect_refusal({"data", "import", "nb201", tables / "nb201.csv"}, 2, {"--output"});
  expect_refusal({"data", "import", "nb202", "-o", out}, 2, {"nb202"});
  EXPECT_FALSE(std::filesystem::exists(out));
}

TEST(Query, AnswersInOneLineOfJson) {
  const GeneratedTables& tables = generated_tables();
  const auto ask = [&](const Arguments& more) {
    Arguments all = {"query", "--table", tables.nb201()};
    all.insert(all.end(), more.begin(), more.end());
    return output(all);
  };
  const std::string whole = ask({"--arch", "333333"});
  EXPECT_EQ(lines(whole), 1u);
  const Json json = Json::parse(whole);
  EXPECT_EQ(json["index"], 1462);
  EXPECT_EQ(json["arch"],
            "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|");
  EXPECT_EQ(json.size(), 2u + 29u);
  EXPECT_TRUE(json["c10_val_200_run2"].is_null());
  EXPECT_EQ(ask({"--arch", "#1462"}), whole);
  EXPECT_EQ(ask({"--arch", json["arch"]}), whole);
  const Json test =
      Json::parse(ask({"--arch", "#3", "--metric", "test", "--dataset", "cifar100", "--epochs", "200"}));
  EXPECT_EQ(test.size(), 3u);
  EXPECT_TRUE(test.contains("c100_test_200"));
  EXPECT_EQ(lines(ask({"--arch", "#3", "--arch", "#4", "--metric", "params_M"})), 2u);
  const Json joined =
      Json::parse(ask({"--table", tables.hardware(), "--arch", "#4", "--metric", "c10_pixel3_latency_ms"}));
  EXPECT_GT(joined["c10_pixel3_latency_ms"], 0);

  expect_refusal({"query", "--table", tables.nb201(), "--arch", "#99999"}, 1, {"#99999", "15624"});
  expect_refusal({"query", "--table", tables.nb201(), "--arch", "333"}, 1, {"333"});
  expect_refusal({"query", "--table", tables.nb201(), "--arch", "#1", "--metric", "speed"}, 1, {"c10_val_12"});
  expect_refusal({"query", "--table", tables / "nb201.csv", "--arch", "#1"}, 1, {"nb201.csv", "no table"});
}

TEST(PublishedTableCommand, PrintsOursBesideThePublished) {
  const GeneratedTables& tables = generated_tables();
  const TemporaryDirectory dir;
  const std::string svg = dir / "curves.svg";
  const Arguments command = {"table", "nasbench201", "--table", tables.nb201(), "--seeds", "4"};
  const auto with = [&](const Arguments& more) {
    Arguments all = command;
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::string markdown = output(with({"--curves", svg}));
  for (const char* part : {"| RS |", "| REA |", "| REINFORCE |", "| published |", "| distance |", "93.70±0.36",
                           "cifar100 test", "| wall s |", "- REINFORCE: reinforce:lr=0.05"})
    EXPECT_NE(markdown.find(part), std::string::npos) << part << " in:\n" << markdown;
  const std::string picture = read(svg);
  EXPECT_EQ(picture.rfind("<svg ", 0), 0u);
  for (const char* part : {">REA<", ">RS<", "simulated seconds", "cifar10 test", "fill-opacity"})
    EXPECT_NE(picture.find(part), std::string::npos) << part;
  EXPECT_EQ(lines(read(dir / "curves.csv")) % 100, 1u);

  const std::string one = output(with({"--format", "csv", "--threads", "1"}));
  const std::string two = output(with({"--format", "csv", "--threads", "2"}));
  EXPECT_NE(one.find("RS,cifar10 test,"), std::string::npos);
  EXPECT_EQ(without_wall_seconds(one), without_wall_seconds(two));
  EXPECT_NE(without_wall_seconds(one), one);

  EXPECT_EQ(output(with({"--format", "tex", "--rows", "random", "-o", dir / "t.tex"})), "");
  const std::string latex = read(dir / "t.tex");
  EXPECT_NE(latex.find("\\begin{tabular}{lrrrrrrrrr}"), std::string::npos) << latex;
  const std::string nats = output(with({"--protocol", "nats", "--rows", "random", "--curves", svg}));
  EXPECT_NE(nats.find(" / "), std::string::npos);
  EXPECT_TRUE(std::filesystem::exists(dir / "curves-ImageNet16-120.svg"));
  expect_refusal(with({"--rows", "randon"}), 1, {"randon", "random"});
  expect_refusal(with({"--seeds", "0"}), 2, {"--seeds"});
}

TEST(CompareStrategies, RunsAnyStrategyOnAnyTable) {
  const GeneratedTables& tables = generated_tables();
  const auto compare = [&](const Arguments& more) {
    Arguments all = {"compare-strategies", "--table", tables.nb201(), "--seeds", "6", "--format", "csv"};
    all.insert(all.end(), more.begin(), more.end());
    return all;
  };
  const std::string both =
      output(compare({"--space", "nb201", "--strategies", "random,regularized-evolution:population=10,sample=3",
                      "--evaluations", "80"}));
  const auto mean = [&](const std::string& row) {
    const size_t at = both.find(row);
    EXPECT_NE(at, std::string::npos) << row << " in:\n" << both;
    return std::stod(both.substr(at + row.size()));
  };
  EXPECT_EQ(mean("random,evaluations,"), 80);
  // On a landscape that can be climbed evolution is ahead of chance.
  EXPECT_GT(mean("regularized-evolution:population=10 sample=3,cifar10 test,"), mean("random,cifar10 test,"));
  output(compare({"--strategies", "random", "--budget-seconds", "3000", "--dataset", "cifar100"}));
  output(compare({"--strategies", "random", "--evaluations", "9", "--epochs", "200", "--noise", "trial"}));

  expect_refusal(compare({"--strategies", "random"}), 2, {"--budget-seconds", "--evaluations"});
  expect_refusal(compare({"--strategies", "random", "--evaluations", "9", "--space", "nb101"}), 2,
                 {"nb101", "nb201"});
  expect_refusal(compare({"--strategies", "random:speed=1", "--evaluations", "9"}), 1, {"speed"});
  expect_refusal(compare({"--strategies", "random", "--evaluations", "9", "--dataset", "mnist"}), 1, {"mnist"});
  expect_refusal(compare({"--strategies", "random", "--evaluations", "9", "--epochs", "13"}), 1, {"12, 200"});
}

TEST(CompareStrategies, ReadsFinishedSearches) {
  const GeneratedTables& tables = generated_tables();
  const TemporaryDirectory dir;
  const auto search = [&](const std::string& strategy, const std::string& seed, const std::string& evaluations) {
    const std::string out = dir / (strategy + seed + "-" + evaluations);
    output({"search", strategy, "--table", tables.nb201(), "--evaluations", evaluations, "--seed", seed, "--out",
            out});
    return out;
  };
  const std::string a = search("random", "0", "30"), b = search("random", "1", "30"), c = search("ga", "0", "30");
  const auto best = [](const std::string& run) {
    const std::string all = read(run + "/evaluations.jsonl");
    return Json::parse(all.substr(all.rfind('\n', all.size() - 2) + 1))["best"].get<double>();
  };
  const std::string svg = dir / "curves.svg";
  const std::string csv = output({"compare-strategies", "--runs", a, b, c, "--format", "csv", "--curves", svg});
  const std::string row = "random,best validation accuracy,";
  ASSERT_NE(csv.find(row), std::string::npos) << csv;
  EXPECT_NEAR(std::stod(csv.substr(csv.find(row) + row.size())), (best(a) + best(b)) / 2, 1e-4);
  EXPECT_NE(csv.find("ga,evaluations,30.0000"), std::string::npos) << csv;
  EXPECT_NE(read(svg).find(">ga<"), std::string::npos);

  expect_refusal({"compare-strategies", "--runs", a, a}, 1, {"the same strategy and seed"});
  expect_refusal({"compare-strategies", "--runs", a, search("random", "1", "20")}, 1,
                 {"budget.evaluations", "differs"});
  expect_refusal({"compare-strategies", "--runs", dir.path()}, 1, {"run.json"});
  expect_refusal({"compare-strategies", "--runs", a, "--strategies", "random"}, 2, {"--runs"});
}

}  // namespace
}  // namespace mixop::test
