// The parts that all black-box searches share: random numbers, spaces told by next(), the loop and its budgets.
#include <gtest/gtest.h>

#include <set>

#include "kernels/core/check.h"
#include "nas/search/loop.h"
#include "nas/space/spaces.h"

namespace mixop {
namespace {

// Counts the 3x3 convolutions of a NAS-Bench-201 cell.
class Toy final : public nas::ImmediateEvaluator {
 public:
  explicit Toy(int slots = 1) : slots_(slots) {}
  int slots() const override { return slots_; }
  nas::Outcome finish() override {
    --under_way_;
    return ImmediateEvaluator::finish();
  }

 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override {
    EXPECT_LE(++under_way_, slots_);
    return {.accuracy = static_cast<double>(std::count(c.arch.begin(), c.arch.end(), 3)), .cost = 10};
  }

 private:
  int slots_, under_way_ = 0;
};

TEST(Random, IsItsPosition) {
  nas::Random a(7, 1), b(7, 1);
  for (int i = 0; i < 5; ++i) a.word();
  b.seek(a.position());
  for (int i = 0; i < 9; ++i) EXPECT_EQ(a.word(), b.word());
}

TEST(Nb201, TextBothWays) {
  const auto space = nas::find_space("nb201");
  const std::string text =
      "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|";
  EXPECT_EQ(space->parse(text), (nas::Arch{4, 2, 1, 2, 1, 1}));
  EXPECT_EQ(space->format(space->parse("421211")), text);
  EXPECT_THROW(space->parse("|avg_pool_3x3~0|+|nor_conv_1x1~0|"), Error);
  EXPECT_EQ(space->neighbours(space->parse(text)).size(), 24u);
}

TEST(Loop, StrictBudgetIsNeverPassed) {
  const auto space = nas::find_space("nb201");
  const nas::StrategyInfo& info = nas::find_strategy("random");
  for (const bool strict : {true, false}) {
    const auto strategy = info.make(*space, nas::Settings(info.settings), 0);
    Toy toy;
    nas::SearchLoop loop(*strategy, toy, {.seconds = 95, .strict = strict});
    loop.run();
    EXPECT_EQ(loop.evaluations(), strict ? 9 : 10);
  }
}

TEST(Loop, WithMoreSecondsTheRefusedEvaluationIsMade) {
  const auto space = nas::find_space("nb201");
  for (const int slots : {1, 3}) {
    std::vector<int64_t> ids;
    const auto run = [&](double seconds, const nas::Json& from, int slots) {
      const auto strategy = nas::find_strategy("random").make(*space, nas::Settings({}), 0);
      Toy toy(slots);
      nas::SearchLoop loop(*strategy, toy, {.seconds = seconds},
                           [&](const nas::Evaluated& e, const nas::SearchLoop&) { ids.push_back(e.candidate.id); });
      if (!from.empty()) loop.load(from);
      loop.run();
      EXPECT_FALSE(loop.step());
      return loop.save();
    };
    const nas::Json at_95 = run(95, {}, slots);
    EXPECT_EQ(ids.size(), 9u);
    EXPECT_EQ(run(95, at_95, slots), at_95);
    run(200, at_95, 1);
    EXPECT_EQ(ids, (std::vector<int64_t>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19}));
  }
}

TEST(Loop, ResumesToTheSameHistory) {
  const auto space = nas::find_space("nb201");
  for (const int slots : {1, 3})
    for (const nas::StrategyInfo* info : nas::strategies()) {
      std::vector<nas::Arch> whole, halves;
      const auto record = [](std::vector<nas::Arch>& to) {
        return [&to](const nas::Evaluated& e, const nas::SearchLoop&) { to.push_back(e.candidate.arch); };
      };
      Toy one_toy(slots), two_toy(slots), three_toy(slots);
      nas::Settings settings(info->settings);
      if (info->name == "bananas") settings.set("epochs", "2");  // it trains networks meanwhile
      const auto make = [&] { return info->make(*space, settings, 3); };
      const auto one = make();
      nas::SearchLoop loop(*one, one_toy, {.evaluations = 150}, record(whole));
      loop.run();
      const auto two = make(), three = make();
      nas::SearchLoop first(*two, two_toy, {.evaluations = 150}, record(halves));
      for (int i = 0; i < 117; ++i) first.step();
      const std::string saved = first.save().dump();
      three->ask();  // load() forgets whatever was before
      nas::SearchLoop second(*three, three_toy, {.evaluations = 150}, record(halves));
      second.load(nas::Json::parse(saved));
      EXPECT_EQ(second.save().dump(), saved) << info->name;
      second.run();
      EXPECT_EQ(whole, halves) << info->name << ", " << slots << " at a time";
      EXPECT_EQ(loop.best().candidate.id, second.best().candidate.id) << info->name;
    }
}

}  // namespace
}  // namespace mixop
