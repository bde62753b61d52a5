// Several aims: fronts, what they cover, the strategy that looks for them, the reward that makes one aim of two.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "kernels/core/check.h"
#include "nas/search/mnas_reward.h"
#include "nas/search/pareto.h"
#include "tests/support/search_toys.h"

namespace mixop {
namespace {

using nas::Candidate;
using nas::Evaluated;
using nas::Objectives;
using nas::Outcome;
using test::Answers;
using test::DigitSpace;

constexpr double kInfinite = std::numeric_limits<double>::infinity();

std::vector<Objectives> draw_points(size_t n, size_t objectives, int64_t values, uint64_t seed) {
  nas::Random random(seed);
  std::vector<Objectives> points(n, Objectives(objectives));
  for (Objectives& p : points)
    for (double& v : p) v = static_cast<double>(random.below(values));
  return points;
}

TEST(Pareto, SortsKnownPoints) {
  const std::vector<Objectives> points = {{1, 5}, {2, 2}, {5, 1}, {2, 6}, {3, 3}, {6, 6}, {2, 2}};
  EXPECT_EQ(nas::non_dominated_sort(points), (std::vector<std::vector<size_t>>{{0, 1, 2, 6}, {3, 4}, {5}}));
  EXPECT_EQ(nas::non_dominated(points), (std::vector<size_t>{0, 1, 2, 6}));
}

TEST(Pareto, FrontsAreWhatTheDefinitionSays) {
  for (const size_t objectives : {2, 3}) {
    const auto points = draw_points(120, objectives, 12, objectives);
    const auto fronts = nas::non_dominated_sort(points);
    EXPECT_EQ(fronts[0], nas::non_dominated(points));
    size_t sorted = 0;
    for (size_t f = 0; f < fronts.size(); ++f) {
      sorted += fronts[f].size();
      for (const size_t i : fronts[f]) {
        for (const size_t j : fronts[f]) EXPECT_FALSE(nas::dominates(points[j], points[i]));
        if (f == 0) continue;
        EXPECT_TRUE(std::any_of(fronts[f - 1].begin(), fronts[f - 1].end(),
                                [&](size_t j) { return nas::dominates(points[j], points[i]); }));
      }
    }
    EXPECT_EQ(sorted, points.size());
    for (size_t m = 0; m < objectives; ++m) {  // the first front has the least of every objective
      const auto less = [m](const Objectives& a, const Objectives& b) { return a[m] < b[m]; };
      const double least = (*std::min_element(points.begin(), points.end(), less))[m];
      EXPECT_TRUE(std::any_of(fronts[0].begin(), fronts[0].end(), [&](size_t i) { return points[i][m] == least; }));
    }
  }
}

TEST(Pareto, RoomBetweenNeighbours) {
  EXPECT_EQ(nas::crowding_distances(std::vector<Objectives>{{1, 2}}), (std::vector<double>{kInfinite}));
  EXPECT_EQ(nas::crowding_distances(std::vector<Objectives>{{1, 2}, {2, 1}}),
            (std::vector<double>{kInfinite, kInfinite}));
  const auto room = nas::crowding_distances(std::vector<Objectives>{{4, 0}, {0, 8}, {1, 6}, {3, 1}});
  EXPECT_EQ(room[0], kInfinite);
  EXPECT_EQ(room[1], kInfinite);
  EXPECT_DOUBLE_EQ(room[2], 3.0 / 4 + 7.0 / 8);
  EXPECT_DOUBLE_EQ(room[3], 3.0 / 4 + 6.0 / 8);
}

TEST(Pareto, HypervolumeByHand) {
  const std::vector<Objectives> two = {{1, 3}, {2, 1}, {2, 2}, {5, 0}};
  EXPECT_DOUBLE_EQ(nas::hypervolume(two, {4, 4}), 1 + 2 * 3);
  const std::vector<Objectives> three = {{0, 0, 1}, {1, 1, 0}};
  EXPECT_DOUBLE_EQ(nas::hypervolume(three, {2, 2, 2}), 4 + 1);
  EXPECT_DOUBLE_EQ(nas::hypervolume({}, {1, 1}), 0);
  EXPECT_DOUBLE_EQ(nas::hypervolume_ratio(std::vector<Objectives>{{1, 1}}, std::vector<Objectives>{{0, 0}}, {2, 2}),
                   0.25);
  EXPECT_THROW(nas::hypervolume(std::vector<Objectives>{{1}}, {2}), Error);
  EXPECT_THROW(nas::hypervolume_ratio(two, std::vector<Objectives>{{9, 9}}, {4, 4}), Error);
}

// Points on a grid cover whole cells, which can be counted.
TEST(Pareto, HypervolumeIsTheCellsCovered) {
  for (const size_t n : {2, 3})
    for (uint64_t seed = 0; seed < 20; ++seed) {
      const auto points = draw_points(15, n, 10, seed);
      int covered = 0;
      for (int x = 0; x < 9; ++x)
        for (int y = 0; y < 9; ++y)
          for (int z = 0; z < (n == 3 ? 9 : 1); ++z)
            covered += std::any_of(points.begin(), points.end(), [&](const Objectives& p) {
              return p[0] <= x && p[1] <= y && (n == 2 || p[2] <= z);
            });
      EXPECT_DOUBLE_EQ(nas::hypervolume(points, Objectives(n, 9)), covered);
    }
}

TEST(Pareto, TheArchiveIsTheFrontSoFar) {
  const auto points = draw_points(300, 2, 40, 3);
  nas::ParetoArchive archive;
  double covered = 0;
  for (size_t i = 0; i < points.size(); ++i) {
    const bool entered = archive.add({static_cast<int64_t>(i), {}, points[i]});
    const double now = nas::hypervolume(archive.points(), {40, 40});
    EXPECT_GE(now, covered);
    EXPECT_EQ(now > covered, entered && points[i][0] < 40 && points[i][1] < 40);
    covered = now;
  }
  std::set<Objectives> expected;
  for (const size_t i : nas::non_dominated(points)) expected.insert(points[i]);
  const auto front = archive.points();
  EXPECT_EQ(front, std::vector<Objectives>(expected.begin(), expected.end()));
}

TEST(Pareto, FrontsAsTextAndCsv) {
  const DigitSpace space(3);
  const std::vector<nas::FrontMember> front = {{7, {0, 1, 0}, {5.8, 0.1}}, {12, {1, 1, 1}, {30.25, 1.0 / 3}}};
  EXPECT_EQ(nas::front_table(space, front, {"error", "latency_ms"}),
            "id  error  latency_ms  architecture\n"
            " 7    5.8         0.1  010\n"
            "12  30.25    0.333333  111\n");
  EXPECT_EQ(nas::front_csv(space, front, {"error", "latency_ms"}),
            "id,error,latency_ms,architecture\n7,5.8,0.1,010\n12,30.25,0.3333333333333333,111\n");
}

/// Few ones cost little and err much; twos cost and help nobody.
Outcome two_aims(const Candidate& c) {
  const double n = test::count_of(c.arch, 1), twos = test::count_of(c.arch, 2);
  return {.accuracy = 50 + n, .cost = 1, .objectives = {50 - n, n * n + twos}};
}
std::vector<Objectives> true_front(int n) {
  std::vector<Objectives> front;
  for (int i = 0; i <= n; ++i) front.push_back({50.0 - i, 1.0 * i * i});
  return front;
}

TEST(Nsga2, CoversMoreThanRandomSearch) {
  const DigitSpace space(24, 4);
  const auto cover = [&](const char* name, uint64_t seed) {
    const auto strategy = test::make_strategy(name, space, seed);
    Answers answers(two_aims);
    nas::ParetoArchive archive;
    for (const Evaluated& e : test::history_of(*strategy, answers, 1000))
      archive.add({e.candidate.id, e.candidate.arch, e.outcome.objectives});
    return nas::hypervolume_ratio(archive.points(), true_front(24), {51, 577});
  };
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const double found = cover("nsga2", seed);
    EXPECT_GT(found, 0.9);
    EXPECT_GT(found, cover("random", seed) + 0.1);
  }
}

// The front of this aim is smaller than the population, so that elitism keeps all of it.
TEST(Nsga2, ItsPopulationNeverCoversLess) {
  const DigitSpace space(12, 3);
  const auto strategy = test::make_strategy("nsga2", space, 1);
  Answers answers(two_aims);
  nas::SearchLoop loop(*strategy, answers, {});
  for (int i = 0; i <= 40; ++i) loop.step();  // with the first of the children the parents are chosen
  double covered = 0;
  for (int generation = 0; generation < 20; ++generation) {
    const nas::Json state = strategy->save();
    std::vector<Objectives> points;
    for (const nas::Json& m : state["parents"]) points.push_back(m[1].get<Objectives>());
    ASSERT_EQ(points.size(), 40u);
    const double now = nas::hypervolume(points, {51, 145});
    EXPECT_GE(now, covered);
    covered = now;
    for (int i = 0; i < 40; ++i) loop.step();
  }
}

TEST(Nsga2, HasNoDoublesAndForgetsFailures) {
  const DigitSpace space(12, 3);
  const auto strategy = test::make_strategy("nsga2", space, 1, {{"population", "10"}, {"offspring", "10"}});
  Answers answers([](const Candidate& c) {
    if (c.arch[0] == 2) return Outcome{.cost = 1, .failed = true, .reason = "no"};
    return two_aims(c);
  });
  test::history_of(*strategy, answers, 201);
  std::set<nas::Arch> members;
  const nas::Json state = strategy->save();
  for (const nas::Json& m : state["parents"]) {
    const nas::Arch arch = m[0];
    EXPECT_TRUE(members.insert(arch).second);
    EXPECT_NE(arch[0], 2);
  }
  EXPECT_EQ(members.size(), 10u);
}

TEST(MnasReward, IsTheFormula) {
  const nas::MnasTarget soft{.latency = 80}, hard{.latency = 80, .below = 0, .above = -1};
  EXPECT_DOUBLE_EQ(nas::mnas_reward(75, 80, soft), 75);
  EXPECT_DOUBLE_EQ(nas::mnas_reward(75, 80, hard), 75);
  EXPECT_DOUBLE_EQ(nas::mnas_reward(75, 160, hard), 37.5);
  EXPECT_DOUBLE_EQ(nas::mnas_reward(75, 20, hard), 75);
  EXPECT_NEAR(nas::mnas_reward(100, 160, soft), 95.26, 0.01);
  EXPECT_GT(nas::mnas_reward(75, 40, soft), 75);
}

TEST(MnasReward, TakesThePlaceOfTheAccuracy) {
  Answers answers([](const Candidate& c) {
    return Outcome{.accuracy = 60, .cost = 3, .objectives = {40, static_cast<double>(c.arch[0])}};
  });
  nas::MnasReward reward(answers, {.latency = 10, .below = 0, .above = -1});
  reward.start({.arch = {20}});
  reward.start({.arch = {-1}});
  const Outcome slow = reward.finish(), none = reward.finish();
  EXPECT_DOUBLE_EQ(slow.accuracy, 30);
  EXPECT_EQ(slow.objectives, (Objectives{40, 20}));
  EXPECT_EQ(slow.cost, 3);
  EXPECT_TRUE(none.failed);
  EXPECT_EQ(none.accuracy, 0);
  EXPECT_EQ(none.cost, 3);

  nas::MnasReward wrong(answers, {.latency = 10, .objective = 2});
  wrong.start({.arch = {20}});
  EXPECT_THROW(wrong.finish(), Error);
  EXPECT_THROW(nas::MnasReward(answers, {.latency = 0}), Error);
}

}  // namespace
}  // namespace mixop
