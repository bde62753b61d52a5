// Pairwise tournaments (Real et al. 2017).
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "nas/search/loop.h"
#include "nas/space/dna.h"
#include "nas/space/spaces.h"

namespace mixop::test {
namespace {

std::unique_ptr<nas::Strategy> make(const nas::Space& space, const std::string& population, uint64_t seed = 0) {
  const nas::StrategyInfo& info = nas::find_strategy("large-scale-evolution");
  nas::Settings settings(info.settings);
  settings.set("population", population);
  return info.make(space, settings, seed);
}

/// Numbers that are their own fitness; children are copies, and the first are 0, 1, 2, ...
class Copies final : public nas::Space {
 public:
  std::string name() const override { return "copies"; }
  std::string describe() const override { return ""; }
  nas::Arch parse(std::string_view) const override { return {}; }
  std::string format(const nas::Arch&) const override { return ""; }
  bool next(const nas::Arch&, nas::Decision&) const override { return false; }
  std::vector<int> kinds() const override { return {}; }
  nas::Arch start(nas::Random&) const override { return {drawn_++}; }
  nas::Child mutate(const nas::Arch& arch, nas::Random&) const override { return {arch}; }
  double count() const override { return 1e9; }

 private:
  mutable int32_t drawn_ = 0;
};

class Itself final : public nas::ImmediateEvaluator {
 public:
  explicit Itself(int slots = 1) : slots_(slots) {}
  int slots() const override { return slots_; }

 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override {
    return {.accuracy = static_cast<double>(c.arch[0]), .cost = 1};
  }

 private:
  int slots_;
};

/// Events until the best has taken over the population of `n`.
int64_t takeover(int n, uint64_t seed) {
  const Copies space;
  const auto strategy = make(space, std::to_string(n), seed);
  Itself evaluator;
  nas::SearchLoop loop(*strategy, evaluator, {.evaluations = 100000});
  while (loop.step()) {
    if (loop.evaluations() % 10 != 0) continue;
    std::set<int32_t> alive;
    const nas::Json state = strategy->save();
    for (const nas::Json& m : state["members"]) alive.insert(m.at(0).at(0).get<int32_t>());
    if (loop.evaluations() > n && alive == std::set<int32_t>{n - 1}) return loop.evaluations() - n;
  }
  return loop.evaluations();
}

// A pairwise tournament spreads the best like a rumour: O(n log n) events (reference: Goldberg and Deb 1991).
TEST(LargeScaleEvolution, TheBestTakesOver) {
  for (const int n : {20, 100}) {
    double mean = 0;
    for (uint64_t seed = 0; seed < 8; ++seed) mean += static_cast<double>(takeover(n, seed)) / 8;
    EXPECT_GT(mean, 0.5 * n * std::log(n));
    EXPECT_LT(mean, 3 * n * std::log(n));
  }
}

TEST(LargeScaleEvolution, ThePopulationHovers) {
  const Copies space;
  for (const int slots : {1, 4}) {
    const auto strategy = make(space, "10");
    Itself evaluator(slots);
    nas::SearchLoop loop(*strategy, evaluator, {.evaluations = 200});
    while (loop.step()) {
      if (loop.evaluations() < 20) continue;
      const size_t n = strategy->save()["members"].size();
      EXPECT_GE(n, 10u - 1);
      EXPECT_LE(n, 10u + static_cast<size_t>(slots));
    }
    EXPECT_EQ(loop.evaluations(), 200);
  }
}

// Children begin with the weights of the better of two, but not after RESET-WEIGHTS or from one that failed.
TEST(LargeScaleEvolution, ParentsAreNamedWhereWeightsAreInherited) {
  const nas::DnaSpace space(0);
  const auto strategy = make(space, "4", 3);
  std::vector<nas::Candidate> asked;
  std::set<int64_t> failed;
  int fresh = 0, inherited = 0;
  for (int i = 0; i < 300; ++i) {
    asked.push_back(*strategy->ask());
    const nas::Candidate& c = asked.back();
    if (i < 4) {
      EXPECT_EQ(c.arch, nas::Dna{}.numbers());
    }
    if (c.parent >= 0) {
      ++inherited;
      EXPECT_LT(c.parent, c.id);
      EXPECT_FALSE(failed.count(c.parent));
    } else if (i >= 4) {
      ++fresh;
    }
    const auto parents = strategy->parents();
    if (c.parent >= 0) {
      EXPECT_EQ(std::count(parents->begin(), parents->end(), c.parent), 1);
    }
    const bool fails = i % 7 == 0;
    if (fails) failed.insert(c.id);
    strategy->tell(c, {.accuracy = fails ? 0 : static_cast<double>(c.arch.size()), .failed = fails});
  }
  EXPECT_GT(fresh, 5);
  EXPECT_LT(fresh, 60);
  EXPECT_GT(inherited, 200);
  EXPECT_GT(asked.back().arch.size(), 40u);  // selection for size: genomes grow
}

TEST(LargeScaleEvolution, ResumesAmongTournaments) {
  const nas::DnaSpace space(0);
  const auto whole = make(space, "6", 1);
  std::vector<nas::Candidate> waiting;
  const auto turn = [&](nas::Strategy& s, std::vector<nas::Candidate>& under_way) {
    const auto candidate = s.ask();
    if (candidate) under_way.push_back(*candidate);
    if (under_way.size() < 3 && candidate) return;
    const nas::Candidate c = under_way.front();
    under_way.erase(under_way.begin());
    s.tell(c, {.accuracy = static_cast<double>(c.arch.size() % 17)});
  };
  for (int i = 0; i < 80; ++i) turn(*whole, waiting);
  const auto other = make(space, "6", 1);
  other->load(nas::Json::parse(whole->save().dump()));
  std::vector<nas::Candidate> waiting_too = waiting;
  for (int i = 0; i < 80; ++i) {
    turn(*whole, waiting);
    turn(*other, waiting_too);
    ASSERT_EQ(waiting.back().arch, waiting_too.back().arch);
    ASSERT_EQ(waiting.back().parent, waiting_too.back().parent);
  }
}

}  // namespace
}  // namespace mixop::test
