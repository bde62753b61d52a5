// The published tables, where they are here: known optima, and searches that come to the published figures.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>

#include "nas/table/import.h"
#include "nas/table/published.h"
#include "tests/support/command.h"
#include "tests/support/published_data.h"

namespace mixop::test {
namespace {

using nas::Table;

const Table* published() {
  static const std::unique_ptr<Table> table = []() -> std::unique_ptr<Table> {
    const auto main = published_file("nb201.csv"), trials = published_file("nb201_trials.csv");
    if (!main || !trials) return nullptr;
    const TemporaryDirectory dir;
    nas::write_table(dir / "t", nas::find_table_import("nb201").read({*main, *trials}));
    return std::make_unique<Table>(Table::open(std::filesystem::path(dir / "t")));
  }();
  return table.get();
}

TEST(PublishedTable, HoldsTheKnownOptima) {
  if (!published()) GTEST_SKIP() << "nb201.csv is not here; MIXOP_SHARED names its directory";
  const Table& table = *published();
  const auto value = [&](size_t row, const char* name) { return table.value(row, table.column(name)); };
  struct Best {
    const char* column;
    size_t row;
    double accuracy;
  };
  for (const Best& best : {Best{"c10_test_200", 6111, 94.3733}, Best{"c100_test_200", 9930, 73.5133},
                           Best{"in16_test_200", 857, 47.3111}, Best{"in16_val_200", 10676, 46.7333}}) {
    EXPECT_EQ(value(best.row, best.column), best.accuracy);
    for (size_t r = 0; r < table.rows(); ++r) ASSERT_LE(value(r, best.column), best.accuracy);
  }
  // Architecture 284's 200-epoch validation accuracies of seeds 777, 888, 999.
  EXPECT_EQ(value(284, "c10_val_200_run0"), 86.052);
  EXPECT_NEAR(value(284, "c10_val_200"), 86.0467, 1e-9);
}

TEST(PublishedTable, WhatElseWasMeasuredJoins) {
  const auto hardware = published_file("hwnasbench_nb201_c10.csv"),
             scores = published_file("nb201_zcproxies_c10.csv");
  const auto macro = published_file("nbmacro.csv");
  if (!hardware || !scores || !macro) GTEST_SKIP() << "the CSVs are not here; MIXOP_SHARED names their directory";
  const TemporaryDirectory dir;
  nas::write_table(dir / "hw", nas::find_table_import("hwnasbench").read({*hardware}));
  nas::write_table(dir / "scores", nas::find_table_import("nb201-proxies").read({*scores}));
  const Table table = Table::open({(dir / "hw").string(), (dir / "scores").string()});
  EXPECT_EQ(table.value(0, table.column("c10_pixel3_latency_ms")), 3.60585);
  EXPECT_EQ(table.value(0, table.column("c10_nwot")), 738.2764);
  int unmeasured = 0, without_score = 0;
  for (size_t row = 0; row < table.rows(); ++row) {
    unmeasured += std::isnan(table.value(row, table.column("c10_edgetpu_latency_ms")));
    without_score += std::isnan(table.value(row, table.column("c10_snip")));
  }
  EXPECT_EQ(unmeasured, 4699);
  EXPECT_EQ(without_score, 15625 - 9445);
  nas::write_table(dir / "macro", nas::find_table_import("nbmacro").read({*macro}));
  const Table other = Table::open(std::filesystem::path(dir / "macro"));
  EXPECT_EQ(other.value(*other.find(other.space().parse("22212220")), other.column("mean_acc")), 93.12666);
}

// The rows of the published table as an independent simulation has them (500 seeds): CIFAR-10 within 0.05, of
// evolution and BOHB 0.10; the others within three standard errors.
TEST(PublishedTable, RowsAreThoseOfTheSimulation) {
  if (!published()) GTEST_SKIP() << "nb201.csv is not here; MIXOP_SHARED names its directory";
  struct Expected {
    const char* method;
    double c10[2], within;
    double others[4], errors[4];  // of CIFAR-100 and ImageNet16-120, 0: not known
  };
  const Expected rows[] = {{"RS", {90.98, 93.77}, 0.05, {71.07, 71.17, 44.61, 44.78}, {1.09, 1.07, 1.10, 1.25}},
                           {"REA", {91.14, 93.91}, 0.10, {71.73, 71.83, 45.05, 45.35}, {1.12, 0.99, 0.89, 1.03}},
                           {"REINFORCE", {91.13, 93.88}, 0.05, {}, {}},
                           {"BOHB", {90.94, 93.73}, 0.10, {}, {}}};
  const nas::PublishedProtocol& protocol = nas::find_published_protocol("nasbench201");
  const auto searches = nas::compared_searches(*published(), protocol);
  for (const Expected& e : rows) {
    const auto row = std::find_if(protocol.rows.begin(), protocol.rows.end(),
                                  [&](const nas::PublishedRow& r) { return r.method == e.method; });
    std::vector<nas::LabelledRuns> runs;
    const nas::ComparisonRow ours =
        nas::compare(*published(), searches, nas::parse_strategy(row->strategy), 500, 2, runs);
    for (size_t i = 0; i < 2; ++i) EXPECT_NEAR(ours.ours[i].mean, e.c10[i], e.within) << e.method << " " << i;
    for (size_t i = 0; i < 4; ++i) {
      if (e.errors[i] == 0) continue;
      EXPECT_NEAR(ours.ours[2 + i].mean, e.others[i], 3 * e.errors[i] / std::sqrt(500.0)) << e.method << " " << i;
    }
    for (const nas::SearchRun& run : runs[0].runs) EXPECT_LE(run.seconds, 12000);
  }
}

TEST(PublishedTable, NatsRowsAreThoseOfTheSimulation) {
  if (!published()) GTEST_SKIP() << "nb201.csv is not here; MIXOP_SHARED names its directory";
  const nas::PublishedProtocol& protocol = nas::find_published_protocol("nats");
  const auto searches = nas::compared_searches(*published(), protocol);
  const std::map<std::string, std::array<double, 6>> expected = {
      {"REA", {91.30, 94.07, 72.29, 72.28, 45.75, 45.80}},
      {"REINFORCE", {91.14, 93.90, 71.77, 71.81, 45.22, 45.46}},
      {"RS", {91.09, 93.88, 71.48, 71.57, 45.03, 45.28}}};
  for (const nas::PublishedRow& row : protocol.rows) {
    if (!expected.count(row.method)) continue;
    std::vector<nas::LabelledRuns> runs;
    const nas::ComparisonRow ours =
        nas::compare(*published(), searches, nas::parse_strategy(row.strategy), 500, 2, runs);
    for (size_t i = 0; i < 6; ++i) {
      // Three standard errors of our mean, and as much again of the simulation's.
      const double within =
          i < 2 ? (row.method == "REA" ? 0.10 : 0.05) : 3 * ours.ours[i].deviation / std::sqrt(250.0);
      EXPECT_NEAR(ours.ours[i].mean, expected.at(row.method)[i], within) << row.method << " " << i;
    }
    for (const nas::SearchRun& run : runs[0].runs) EXPECT_GT(run.seconds, 20000);
  }
}

}  // namespace
}  // namespace mixop::test
