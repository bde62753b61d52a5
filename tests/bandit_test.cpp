// Strategies that train many for a little and few for long, and BOHB's model of where the good ones lie.
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernels/core/check.h"
#include "nas/search/brackets.h"
#include "nas/search/kde.h"
#include "tests/support/search_toys.h"

namespace mixop {
namespace {

using nas::Bracket;
using nas::Candidate;
using nas::Evaluated;
using nas::Outcome;
using test::Answers;
using test::DigitSpace;

TEST(Brackets, OfThePaper) {
  const auto brackets = nas::hyperband(nas::fidelities(1, 81, 3), 3);
  const std::vector<Bracket> expected = {{{81, 1}, {27, 3}, {9, 9}, {3, 27}, {1, 81}},
                                         {{34, 3}, {11, 9}, {3, 27}, {1, 81}},
                                         {{15, 9}, {5, 27}, {1, 81}},
                                         {{8, 27}, {2, 81}},
                                         {{5, 81}}};
  EXPECT_EQ(brackets, expected);
}

TEST(Brackets, OfHpBandSter) {
  const auto starters = [](const std::vector<Bracket>& brackets) {
    std::vector<int64_t> n;
    for (const Bracket& b : brackets) n.push_back(b.front().candidates);
    return n;
  };
  EXPECT_EQ(starters(nas::hpbandster(nas::fidelities(1, 81, 3), 3)), (std::vector<int64_t>{81, 27, 9, 6, 5}));
  const auto nats = nas::hpbandster(nas::fidelities(1, 12, 3), 3);
  EXPECT_EQ(starters(nats), (std::vector<int64_t>{9, 3, 3}));
  EXPECT_EQ(nats[0].size(), 3u);
  EXPECT_DOUBLE_EQ(nats[0][0].epochs, 12.0 / 9);
  EXPECT_DOUBLE_EQ(nats[0][1].epochs, 4);
  EXPECT_DOUBLE_EQ(nats[0][2].epochs, 12);
}

TEST(Brackets, StayWithinTheirShare) {
  for (const int64_t eta : {2, 3, 4})
    for (const double most : {1.0, 16.0, 27.0, 81.0, 100.0, 256.0}) {
      const auto epochs = nas::fidelities(1, most, eta);
      for (const auto& round : {nas::hyperband(epochs, eta), nas::hpbandster(epochs, eta)})
        for (const Bracket& b : round) {
          double spent = 0;
          for (const nas::Rung& r : b) spent += static_cast<double>(r.candidates) * r.epochs;
          // One candidate more than the share where the starters were rounded up.
          EXPECT_LE(spent, static_cast<double>(epochs.size()) * most + static_cast<double>(b.size()) * b[0].epochs)
              << "eta " << eta << " R " << most;
        }
    }
  EXPECT_THROW(nas::fidelities(5, 4, 3), Error);
  EXPECT_EQ(nas::fidelities(1, 0, 3), std::vector<double>{0});
}

/// Accuracy rises with the epochs to a level that the digits say, slowly enough that the levels show early.
Outcome curve(const Candidate& c) {
  double level = 0;
  for (const int32_t v : c.arch) level = level * 3 + v;
  return {.accuracy = 10 + level * (1 - std::exp(-c.epochs / 10)) / 1000, .cost = c.epochs};
}

TEST(SuccessiveHalving, TheBestArmSurvives) {
  const DigitSpace space(10, 3);
  for (uint64_t seed = 0; seed < 5; ++seed)
    for (const int slots : {1, 4}) {
      const auto strategy =
          test::make_strategy("successive-halving", space, seed, {{"max-epochs", "81"}, {"brackets", "1"}});
      Answers answers(curve, slots);
      const auto history = test::history_of(*strategy, answers, 0);
      EXPECT_TRUE(strategy->finished());
      ASSERT_EQ(history.size(), 81u + 27 + 9 + 3 + 1);
      const auto level = [](const Evaluated& e) {
        return curve({.arch = e.candidate.arch, .epochs = 1e9}).accuracy;
      };
      double best = 0;
      for (int i = 0; i < 81; ++i) best = std::max(best, level(history[static_cast<size_t>(i)]));
      EXPECT_EQ(history.back().candidate.epochs, 81);
      EXPECT_EQ(level(history.back()), best);
    }
}

TEST(Hyperband, RunsItsBracketsRoundAfterRound) {
  const DigitSpace space(10, 3);
  for (const char* arithmetic : {"paper", "hpbandster"}) {
    const auto epochs = nas::fidelities(1, 9, 3);
    auto brackets = std::string(arithmetic) == "paper" ? nas::hyperband(epochs, 3) : nas::hpbandster(epochs, 3);
    std::vector<double> expected;
    for (const size_t b : {0, 1, 2, 0})
      for (const nas::Rung& r : brackets[b])
        expected.insert(expected.end(), static_cast<size_t>(r.candidates), r.epochs);
    const auto strategy = test::make_strategy("hyperband", space, 0,
                                              {{"max-epochs", "9"}, {"brackets", "4"}, {"arithmetic", arithmetic}});
    Answers answers(curve, 2);
    std::vector<double> asked;
    for (const Evaluated& e : test::history_of(*strategy, answers, 0)) asked.push_back(e.candidate.epochs);
    EXPECT_EQ(asked, expected);
  }
}

TEST(Asha, PromotesAsSoonAsOneInThreeMay) {
  const DigitSpace space(12, 3);
  const auto strategy = test::make_strategy("asha", space, 4, {{"max-epochs", "9"}});
  Answers answers(curve);
  const auto history = test::history_of(*strategy, answers, 900);
  for (size_t i = 0; i < 3; ++i) EXPECT_EQ(history[i].candidate.epochs, 1);
  EXPECT_EQ(history[3].candidate.epochs, 3);
  const auto best = std::max_element(
      history.begin(), history.begin() + 3,
      [](const Evaluated& a, const Evaluated& b) { return a.outcome.accuracy < b.outcome.accuracy; });
  EXPECT_EQ(history[3].candidate.arch, best->candidate.arch);

  std::map<double, std::set<nas::Arch>> rungs;
  for (const Evaluated& e : history) EXPECT_TRUE(rungs[e.candidate.epochs].insert(e.candidate.arch).second);
  // Some are promoted early and overtaken later: a few more than one in three.
  for (const double e : {1.0, 3.0}) {
    EXPECT_GE(rungs[3 * e].size() + 1, rungs[e].size() / 3);
    EXPECT_LE(static_cast<double>(rungs[3 * e].size()), 1.25 * static_cast<double>(rungs[e].size()) / 3);
  }
}

TEST(Asha, NeverWaits) {
  const DigitSpace space(12, 3);
  const auto strategy = test::make_strategy("asha", space, 4);
  for (int i = 0; i < 100; ++i) EXPECT_TRUE(strategy->ask());
}

TEST(Kde, IsADistribution) {
  const DigitSpace space(3, 4);
  const std::vector<nas::Arch> points = {{0, 1, 2}, {0, 1, 3}, {3, 1, 2}, {0, 2}};
  const std::vector<int> values = {4, 4, 4};
  for (const bool bounded : {true, false}) {
    const nas::CategoricalKde kde(points, 0.05, bounded);
    double sum = 0;
    for (int32_t a = 0; a < 4; ++a)
      for (int32_t b = 0; b < 4; ++b)
        for (int32_t c = 0; c < 4; ++c) sum += kde.density({a, b, c}, values);
    EXPECT_NEAR(sum, 1, 1e-12);
    EXPECT_GT(kde.density({0, 1, 2}, values), kde.density({2, 3, 0}, values));
  }
}

// One decision, points 0 0 0 2: standard deviation sqrt(0.75), bandwidth 1.06 sqrt(0.75) 4^(-1/5).
TEST(Kde, HasTheBandwidthOfTheNormalReferenceRule) {
  const nas::CategoricalKde kde({{0}, {0}, {0}, {2}}, 0.001, false);
  const std::vector<int> values = {3};
  const double h = 1.06 * std::sqrt(0.75) * std::pow(4, -0.2);
  EXPECT_NEAR(kde.density({0}, values), 0.75 * (1 - h) + 0.25 * h / 2, 1e-12);
  EXPECT_NEAR(kde.density({1}, values), h / 2, 1e-12);
  const nas::CategoricalKde bounded({{0}, {0}, {0}, {2}}, 0.9, true);
  EXPECT_NEAR(bounded.density({0}, values), 1.0 / 3, 1e-12);
  const nas::CategoricalKde narrow({{1}, {1}}, 0.1, true);
  EXPECT_NEAR(narrow.density({1}, values), 0.9, 1e-12);
}

TEST(Kde, DrawsNearItsPoints) {
  const DigitSpace space(6, 5);
  const nas::CategoricalKde kde({{1, 2, 3, 4, 0, 1}}, 0.2, true);
  nas::Random random(1);
  std::vector<int> values;
  double kept = 0;
  for (int i = 0; i < 5000; ++i) {
    const nas::Arch arch = kde.sample(space, random, values);
    EXPECT_FALSE(space.find_fault(arch));
    kept += arch[0] == 1;
  }
  EXPECT_NEAR(kept / 5000, 0.8 + 0.2 / 5, 0.02);
  EXPECT_EQ(values, std::vector<int>(6, 5));
}

TEST(Bohb, IsHyperbandWhenAllIsRandom) {
  const DigitSpace space(6, 5);
  const auto bohb = test::make_strategy("bohb", space, 9, {{"random-fraction", "1"}});
  const auto hyperband = test::make_strategy("hyperband", space, 9, {{"arithmetic", "hpbandster"}});
  Answers answers(curve);
  const auto a = test::history_of(*bohb, answers, 200), b = test::history_of(*hyperband, answers, 200);
  for (size_t i = 0; i < 200; ++i) {
    ASSERT_EQ(a[i].candidate.arch, b[i].candidate.arch);
    ASSERT_EQ(a[i].candidate.epochs, b[i].candidate.epochs);
  }
}

// 6 decisions of 5 values, one of them right; the settings of the published NAS-Bench-201 row. (With 64 samples the
// likeliest is mostly where nothing bad was seen because nothing was seen, and no better than a random draw.)
TEST(Bohb, BeatsRandomSearchOnASeparableAim) {
  const DigitSpace space(6, 5);
  Answers answers([](const Candidate& c) {
    double right = 0;
    for (size_t i = 0; i < c.arch.size(); ++i) right += c.arch[i] == static_cast<int32_t>(i * 2 % 5);
    return Outcome{.accuracy = right, .cost = 1};
  });
  double bohb = 0, random = 0;
  for (uint64_t seed = 0; seed < 40; ++seed) {
    const auto a = test::make_strategy("bohb", space, seed,
                                       {{"max-epochs", "0"},
                                        {"samples", "4"},
                                        {"random-fraction", "0"},
                                        {"min-bandwidth", "0.3"},
                                        {"bandwidth", "bounded"}});
    const auto b = test::make_strategy("random", space, seed);
    bohb += test::best_of(test::history_of(*a, answers, 60)) / 40;
    random += test::best_of(test::history_of(*b, answers, 60)) / 40;
  }
  EXPECT_GT(bohb, random + 0.25);
}

// A space that is not built step by step offers no decisions to model.
TEST(Bohb, NeedsDecisions) {
  class Whole final : public test::DigitSpace {
   public:
    Whole() : DigitSpace(3) {}
    std::vector<int> kinds() const override { return {}; }
  };
  EXPECT_THROW(test::make_strategy("bohb", Whole(), 0), Error);
}

}  // namespace
}  // namespace mixop
