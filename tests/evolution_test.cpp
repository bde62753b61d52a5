// Strategies that keep a population or a place: what they ask, when they wait, when they are done.
#include <gtest/gtest.h>

#include <set>

#include "kernels/core/check.h"
#include "tests/support/search_toys.h"

namespace mixop {
namespace {

using nas::Candidate;
using nas::Evaluated;
using nas::Outcome;
using test::Answers;
using test::DigitSpace;

Outcome ones(const Candidate& c) { return {.accuracy = test::count_of(c.arch, 1), .cost = 1}; }

TEST(Space, GeneticOperatorsKeepWhatTheyShould) {
  const DigitSpace space(19);
  nas::Random random(1);
  double flipped = 0;
  constexpr int kTimes = 1000;
  for (int i = 0; i < kTimes; ++i) {
    const nas::Arch a = space.sample(random), b = space.sample(random);
    EXPECT_EQ(space.crossover(a, a, random), a);
    EXPECT_EQ(space.redraw(a, 0, random), a);
    const nas::Arch child = space.crossover(a, b, random), mutant = space.redraw(a, 0.05, random);
    for (size_t k = 0; k < a.size(); ++k) {
      ASSERT_TRUE(child[k] == a[k] || child[k] == b[k]);
      flipped += mutant[k] != a[k];
    }
  }
  // 19 choices are drawn anew with 0.05, half of them to the other value; 4 standard errors.
  EXPECT_NEAR(flipped / kTimes, 19 * 0.05 / 2, 4 * std::sqrt(19 * 0.025 / kTimes));
}

// With the values of Genetic CNN: population 20, 19 bits.
TEST(Ga, BeatsRandomSearchOnOneMax) {
  const DigitSpace space(19);
  constexpr int kSeeds = 5;
  const auto mean_best = [&](const std::string& name, const std::map<std::string, std::string>& settings) {
    double sum = 0;
    for (uint64_t seed = 0; seed < kSeeds; ++seed) {
      Answers answers(ones);
      sum += test::best_of(test::history_of(*test::make_strategy(name, space, seed, settings), answers, 200));
    }
    return sum / kSeeds;
  };
  const double random = mean_best("random", {});
  for (const char* selection : {"roulette", "tournament", "rank"})
    for (const char* update : {"generational", "plus"})
      EXPECT_GT(mean_best("ga", {{"selection", selection}, {"update", update}}), random + 1)
          << selection << " " << update;
}

TEST(Ga, EvaluatesNothingTwice) {
  const DigitSpace space(12);
  for (const int slots : {1, 3}) {
    Answers answers(ones, slots);
    const auto ga = test::make_strategy("ga", space, 5, {{"gene-mutation", "0.1"}});
    std::set<nas::Arch> seen;
    for (const Evaluated& e : test::history_of(*ga, answers, 150))
      EXPECT_TRUE(seen.insert(e.candidate.arch).second);
    EXPECT_EQ(seen.size(), 150u);
  }
}

TEST(Ga, TheEliteStays) {
  const DigitSpace space(19);
  for (const char* update : {"generational", "plus"}) {
    const auto ga = test::make_strategy("ga", space, 2, {{"gene-mutation", "0.5"}, {"update", update}});
    Answers answers(ones);
    double best = -1;
    nas::SearchLoop loop(*ga, answers, {});
    for (int i = 0; i < 20; ++i) loop.step();
    for (int generation = 0; generation < 20; ++generation) {
      for (int i = 0; i < 20; ++i) loop.step();
      const nas::Json state = ga->save();
      const double fittest = state["parents"][0][1];
      EXPECT_GE(fittest, best) << update;
      best = fittest;
    }
  }
}

TEST(Ga, EndsWhenNothingImproves) {
  const DigitSpace space(19);
  Answers answers([](const Candidate&) { return Outcome{.accuracy = 50, .cost = 1}; });
  const auto patient = test::make_strategy("ga", space, 1, {{"patience", "4"}, {"gene-mutation", "1"}});
  const auto history = test::history_of(*patient, answers, 500);
  EXPECT_TRUE(patient->finished());
  EXPECT_GT(history.size(), 20u + 3 * 15);  // the first generation and four in vain, a few children unchanged
  EXPECT_LE(history.size(), 20u + 4 * 19);

  const auto two = test::make_strategy("ga", space, 1, {{"generations", "2"}, {"gene-mutation", "1"}});
  EXPECT_LE(test::history_of(*two, answers, 500).size(), 20u + 19);
}

TEST(Ga, EndsWhenItBreedsNothingNew) {
  const DigitSpace space(19);
  Answers answers(ones);
  const auto ga = test::make_strategy("ga", space, 1, {{"crossover", "0"}, {"mutation", "0"}});
  EXPECT_EQ(test::history_of(*ga, answers, 500).size(), 20u);
  EXPECT_TRUE(ga->finished());
  EXPECT_FALSE(ga->ask());
  const auto again = test::make_strategy("ga", space, 1, {{"crossover", "0"}, {"mutation", "0"}});
  again->load(ga->save());
  EXPECT_TRUE(again->finished());
}

TEST(Ga, TheEliteIsFewerThanThePopulation) {
  const DigitSpace space(4);
  EXPECT_THROW(test::make_strategy("ga", space, 0, {{"population", "5"}, {"elites", "5"}}), Error);
}

TEST(RegularizedEvolution, TheFirstChildWaitsForThePopulation) {
  const DigitSpace space(19);
  const auto strategy =
      test::make_strategy("regularized-evolution", space, 0, {{"population", "6"}, {"sample", "2"}});
  std::vector<Candidate> asked;
  while (auto c = strategy->ask()) asked.push_back(*c);
  ASSERT_EQ(asked.size(), 6u);
  for (const Candidate& c : asked) {
    EXPECT_FALSE(strategy->ask());
    strategy->tell(c, ones(c));
  }
  EXPECT_TRUE(strategy->ask());
}

TEST(RegularizedEvolution, TheOldestLeaves) {
  const DigitSpace space(19);
  for (const char* replacement : {"with", "without"}) {
    const auto strategy = test::make_strategy("regularized-evolution", space, 0,
                                              {{"population", "6"}, {"sample", "3"}, {"replacement", replacement}});
    Answers answers(ones);
    const auto history = test::history_of(*strategy, answers, 50);
    const nas::Json members = strategy->save()["members"];
    ASSERT_EQ(members.size(), 6u);
    for (size_t i = 0; i < 6; ++i) EXPECT_EQ(members[i][0].get<nas::Arch>(), history[44 + i].candidate.arch);
  }
}

// With a sample as large as the population and without replacement the parent is the best member.
TEST(RegularizedEvolution, TheBestOfTheSampleIsTheParent) {
  const DigitSpace space(19);
  const auto strategy = test::make_strategy("regularized-evolution", space, 3,
                                            {{"population", "5"}, {"sample", "5"}, {"replacement", "without"}});
  Answers answers(ones);
  const auto history = test::history_of(*strategy, answers, 40);
  for (size_t i = 5; i < history.size(); ++i) {
    const auto best = std::max_element(
        history.begin() + static_cast<int64_t>(i - 5), history.begin() + static_cast<int64_t>(i),
        [](const Evaluated& a, const Evaluated& b) { return a.outcome.accuracy < b.outcome.accuracy; });
    EXPECT_EQ(std::abs(history[i].outcome.accuracy - best->outcome.accuracy), 1);
  }
}

TEST(LocalSearch, ClimbsToTheTop) {
  const auto space = nas::find_space("nb201");
  Answers answers([](const Candidate& c) { return Outcome{.accuracy = test::count_of(c.arch, 3), .cost = 1}; });
  for (const char* step : {"first", "best"})
    for (uint64_t seed = 0; seed < 5; ++seed) {
      const auto strategy = test::make_strategy("local-search", *space, seed, {{"step", step}});
      EXPECT_EQ(test::best_of(test::history_of(*strategy, answers, 10 + 6 * 24)), 6) << step;
    }
}

TEST(LocalSearch, SeesASmallSpaceOnceAndIsDone) {
  const DigitSpace space(3, 3);
  for (const char* step : {"first", "best"})
    for (const int slots : {1, 4}) {
      Answers answers(ones, slots);
      const auto strategy = test::make_strategy("local-search", space, 7, {{"step", step}, {"starts", "2"}});
      std::set<nas::Arch> seen;
      for (const Evaluated& e : test::history_of(*strategy, answers, 500))
        EXPECT_TRUE(seen.insert(e.candidate.arch).second);
      EXPECT_EQ(seen.size(), 27u) << step << " " << slots;
      EXPECT_TRUE(strategy->finished());
    }
}

// Ones on a ring of local optima: only a restart finds the best.
TEST(LocalSearch, StartsAnewAtALocalOptimum) {
  const DigitSpace space(6);
  Answers answers([](const Candidate& c) {
    const double n = test::count_of(c.arch, 1);
    return Outcome{.accuracy = n == 6 ? 10 : 6 - n, .cost = 1};
  });
  const auto strategy = test::make_strategy("local-search", space, 1, {{"starts", "1"}});
  const auto history = test::history_of(*strategy, answers, 64);
  EXPECT_EQ(test::best_of(history), 10);
}

}  // namespace
}  // namespace mixop
