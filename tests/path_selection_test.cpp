// Which architectures of a trained supernet are scored, and what a table says of the answer.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "nas/sharing/nb201_mixed.h"
#include "nas/sharing/path_pruning.h"
#include "nas/sharing/path_selection.h"
#include "nas/sharing/supernet_score.h"
#include "nas/space/nb201.h"
#include "tests/support/generated_table.h"

namespace mixop::test {
namespace {

using nas::Arch;
using nas::PathSelection;
using nas::ScoredPath;

int convolutions(const Arch& arch) {
  return static_cast<int>(std::count(arch.begin(), arch.end(), 3) + std::count(arch.begin(), arch.end(), 2));
}

/// Runs all rounds against an accuracy that anybody can compute.
std::vector<ScoredPath> run(const PathSelection& selection, uint64_t seed) {
  nas::Random random(seed);
  std::vector<ScoredPath> history;
  for (int round = 0; round < selection.rounds(); ++round)
    for (const Arch& arch : selection.plan(round, history, random).archs)
      history.push_back({arch, round, 100 * generated_quality(arch, 0)});
  return history;
}

TEST(RandomSelection, RescoresTheBestOfEachRepetition) {
  const nas::Nb201Space space;
  const auto selection = nas::random_selection(space, {.repetitions = 2, .samples = 30, .top = 4, .batches = 3});
  EXPECT_EQ(selection->rounds(), 4);
  nas::Random random(1);
  std::vector<ScoredPath> history;
  const nas::SelectionRound first = selection->plan(0, history, random);
  EXPECT_EQ(first.archs.size(), 30u);
  EXPECT_EQ(first.batches, 3);
  for (size_t i = 0; i < 30; ++i) history.push_back({first.archs[i], 0, static_cast<double>(i * 7 % 30)});
  EXPECT_EQ(selection->answer(history), first.archs[13 * 29 % 30]);  // that with 29
  const nas::SelectionRound second = selection->plan(1, history, random);
  EXPECT_EQ(second.batches, 0);
  ASSERT_EQ(second.archs.size(), 4u);
  for (int rank = 0; rank < 4; ++rank)  // 7 i = 29 - rank (mod 30): i = 13 (29 - rank)
    EXPECT_EQ(second.archs[static_cast<size_t>(rank)], first.archs[static_cast<size_t>(13 * (29 - rank) % 30)]);
  // On all batches they come out otherwise, and that counts, however high the first scores were.
  for (size_t i = 0; i < 4; ++i) history.push_back({second.archs[i], 1, static_cast<double>(i)});
  EXPECT_EQ(selection->answer(history), second.archs[3]);
  // The next repetition looks at its own samples only.
  const nas::SelectionRound third = selection->plan(2, history, random);
  EXPECT_NE(third.archs, first.archs);
  for (const Arch& arch : third.archs) history.push_back({arch, 2, 1});
  EXPECT_EQ(selection->plan(3, history, random).archs,
            std::vector<Arch>(third.archs.begin(), third.archs.begin() + 4));
}

TEST(PathEvolution, KeepsWithinLimitsAndScoresNothingTwice) {
  const nas::Nb201Space space;
  const auto admits = [](const Arch& arch) { return convolutions(arch) <= 3; };
  const nas::EvolutionOptions options{
      .population = 20, .generations = 8, .top = 5, .crossovers = 10, .mutants = 10};
  const auto selection = nas::path_evolution(space, options, admits);
  const std::vector<ScoredPath> history = run(*selection, 1);
  std::set<Arch> known;
  for (const ScoredPath& s : history) {
    EXPECT_TRUE(admits(s.arch));
    EXPECT_TRUE(known.insert(s.arch).second) << space.format(s.arch);
  }
  EXPECT_EQ(history.size(), 8u * 20u);
  // Three convolutions of 3x3 and three skips are the best of those, by far more than chance finds in 160 of 15625.
  EXPECT_GT(100 * generated_quality(selection->answer(history), 0), 98 * (3 + 3 * 0.4) / 6 - 1e-9);

  const auto impossible = nas::path_evolution(space, options, [](const Arch&) { return false; });
  nas::Random random(1);
  EXPECT_THROW(impossible->plan(0, {}, random), mixop::Error);
  EXPECT_THROW(nas::path_evolution(space, {.population = 5}), mixop::Error);
}

TEST(PathEvolution, GoesOnFromItsHistoryAndTheStreamsPosition) {
  const nas::Nb201Space space;
  const auto selection =
      nas::path_evolution(space, {.population = 10, .generations = 4, .crossovers = 4, .mutants = 4});
  nas::Random random(7);
  std::vector<ScoredPath> history;
  uint64_t position = 0;
  std::vector<Arch> last;
  for (int round = 0; round < 3; ++round) {
    position = random.position();
    last = selection->plan(round, history, random).archs;
    if (round < 2)
      for (const Arch& arch : last) history.push_back({arch, round, generated_quality(arch, 0)});
  }
  nas::Random again(7);
  again.seek(position);
  EXPECT_EQ(selection->plan(2, history, again).archs, last);
}

TEST(KendallTau, ByHand) {
  using V = std::vector<double>;
  EXPECT_EQ(nas::kendall_tau_b(V{1, 2, 3, 4}, V{10, 20, 30, 40}), 1);
  EXPECT_EQ(nas::kendall_tau_b(V{1, 2, 3, 4}, V{4, 3, 2, 1}), -1);
  EXPECT_NEAR(nas::kendall_tau_b(V{1, 2, 3}, V{1, 3, 2}), 1.0 / 3, 1e-15);  // 2 concordant, 1 discordant
  // Pairs: (1,2) tied in a, (2,3) in b, the other four agree: 4 / sqrt(5 * 5).
  EXPECT_NEAR(nas::kendall_tau_b(V{1, 1, 2, 3}, V{1, 2, 2, 3}), 4.0 / 5, 1e-15);
  // (2,3) and (2,4) agree, the others are tied in b but for (1,2), which a ties: 2 / sqrt(5 * 3).
  EXPECT_NEAR(nas::kendall_tau_b(V{1, 1, 2, 3}, V{2, 1, 2, 2}), 2 / std::sqrt(15.0), 1e-15);
  EXPECT_TRUE(std::isnan(nas::kendall_tau_b(V{1, 1}, V{1, 2})));
  EXPECT_THROW(nas::kendall_tau_b(V{1}, V{1, 2}), mixop::Error);
}

TEST(SupernetScore, PrintsWhatTheTableSays) {
  const nas::Table table = nas::open_score_table(generated_tables().nb201(), nas::Nb201Space());
  const std::vector<Arch> sample = nas::ranking_sample(table.space(), 40);
  EXPECT_EQ(sample, nas::ranking_sample(table.space(), 40));
  EXPECT_EQ(std::set<Arch>(sample.begin(), sample.end()).size(), 40u);
  const size_t column = table.column("c10_test_200");
  std::vector<ScoredPath> scored;
  double sum = 0;
  for (const Arch& arch : sample) {
    scored.push_back({arch, 0, table.value(*table.find(arch), column) / 3});
    sum += table.value(*table.find(arch), column);
  }
  const Arch found = {3, 3, 3, 3, 3, 1};
  char want[128];
  std::snprintf(want, sizeof want, "test %.2f %% after 200 epochs, random %.2f +- ",
                table.value(*table.find(found), column), sum / 40);
  const std::string text = nas::score_by_table(table, found, scored);
  EXPECT_NE(text.find(want), std::string::npos) << text;
  EXPECT_NE(text.find("table, cifar10:"), std::string::npos);
  EXPECT_NE(text.find("table, cifar100:"), std::string::npos);
  EXPECT_NE(text.find("table, ImageNet16-120:"), std::string::npos);
  EXPECT_NE(text.find("Kendall's tau 1.000 of supernet and table over 40"), std::string::npos) << text;
  EXPECT_EQ(nas::score_by_table(table, found, {}).find("random"), std::string::npos);
}

/// What a candidate is worth, by its number over all tables; the accuracy of a network is the sum of what it holds.
double worth(size_t candidate) { return std::fmod(0.618033988749 * static_cast<double>(candidate + 1), 1); }

std::vector<ScoredPath> prune(const PathSelection& pruning, const nas::MixedSpace& space,
                              std::vector<size_t>& sizes) {
  nas::Random random(1);
  std::vector<ScoredPath> history;
  for (int round = 0; round < pruning.rounds(); ++round) {
    const nas::SelectionRound next = pruning.plan(round, history, random);
    EXPECT_EQ(next.batches, 3);
    sizes.push_back(next.archs.size());
    for (const Arch& entry : next.archs) {
      double sum = 0;
      size_t candidate = 0;
      for (const nas::TableValues& table : pruning.network(space, entry).tables)
        for (const double weight : table) sum += weight * worth(candidate++);
      EXPECT_EQ(candidate, entry.size());
      history.push_back({entry, round, sum});
    }
  }
  return history;
}

TEST(PathPruning, LeavesTheMostMissedCandidateOfEachEdge) {
  const auto space = nas::nb201_mixed_space({});
  const auto pruning = nas::path_pruning(*space, 3);
  std::vector<size_t> sizes;
  const std::vector<ScoredPath> history = prune(*pruning, *space, sizes);
  EXPECT_EQ(sizes, (std::vector<size_t>{24, 12, 6}));  // 4, 2 and 1 of 6 edges: none is no candidate
  Arch want;
  for (size_t edge = 0; edge < 6; ++edge) {
    want.push_back(1);
    for (int32_t op = 2; op < 5; ++op)
      if (worth(edge * 5 + static_cast<size_t>(op)) > worth(edge * 5 + static_cast<size_t>(want.back())))
        want.back() = op;
  }
  EXPECT_EQ(pruning->answer(history), want);
  EXPECT_EQ(pruning->format(history.front(), history), "all of 24 but alphas[0] skip_connect");
  EXPECT_EQ(pruning->format(history[24 + 12], history).rfind("all of 6 but ", 0), 0u);
}

TEST(PathPruning, KeepsTheEdgesThatAreMissedMost) {
  const auto space = nas::darts_mixed_space({.channels = 4, .cells = 3});
  const auto pruning = nas::path_pruning(*space, 3);
  std::vector<size_t> sizes;
  const std::vector<ScoredPath> history = prune(*pruning, *space, sizes);
  EXPECT_EQ(sizes, (std::vector<size_t>{7 * 28, 4 * 28, 2 * 28, 28}));
  // The best candidate of each edge, then the two best edges of each node: what the worths themselves would give.
  std::vector<nas::TableValues> tables;
  size_t candidate = 0;
  for (const nas::MixTable& table : space->tables()) {
    tables.emplace_back();
    for (int row = 0; row < table.rows; ++row)
      for (const std::string& name : table.columns)
        tables.back().push_back(name == "none" ? (++candidate, 0.0) : worth(candidate++));
  }
  EXPECT_EQ(pruning->answer(history), space->decode(tables));
}

TEST(SupernetScore, WarnsOfACollapse) {
  const auto space = nas::nb201_mixed_space({});
  const auto warns = [&](const Arch& arch) {
    return nas::describe_candidates(*space, arch).find("warning: the search has collapsed") != std::string::npos;
  };
  EXPECT_TRUE(warns({1, 1, 1, 1, 1, 1}));
  EXPECT_TRUE(warns({1, 1, 0, 1, 3, 1}));
  EXPECT_FALSE(warns({1, 1, 0, 1, 3, 3}));
  EXPECT_EQ(nas::count_candidate(*space, {1, 1, 0, 1, 3, 3}, "skip_connect"), 3);
  EXPECT_EQ(nas::describe_candidates(*space, {3, 1, 0, 2, 3, 3}), "skip connections: 1 of 6, and 1 none\n");
}

}  // namespace
}  // namespace mixop::test
