// Q-learning with the schedule and the replay of MetaQNN (Baker et al. 2017).
#include <gtest/gtest.h>

#include <map>
#include <set>

#include "kernels/core/check.h"
#include "nas/search/loop.h"
#include "nas/space/spaces.h"

namespace mixop::test {
namespace {

using Changes = std::map<std::string, std::string>;

std::unique_ptr<nas::Strategy> make(const nas::Space& space, const Changes& changes, uint64_t seed = 0) {
  const nas::StrategyInfo& info = nas::find_strategy("q-learning");
  nas::Settings settings(info.settings);
  for (const auto& [name, value] : changes) settings.set(name, value);
  return info.make(space, settings, seed);
}

class Judge final : public nas::ImmediateEvaluator {
 public:
  using Accuracy = std::function<double(const nas::Arch&)>;
  explicit Judge(Accuracy accuracy) : accuracy_(std::move(accuracy)) {}

 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override { return {.accuracy = accuracy_(c.arch), .cost = 1}; }

 private:
  Accuracy accuracy_;
};

/// The path of a space whose choices have the highest values in the saved table.
nas::Arch greedy(const nas::Space& space, const nas::Json& state, double initial) {
  std::map<std::pair<uint64_t, uint64_t>, std::map<int32_t, double>> table;
  for (const nas::Json& row : state.at("q"))
    for (const nas::Json& v : row.at(2))
      table[{row.at(0).get<uint64_t>(), row.at(1).get<uint64_t>()}][v.at(0).get<int32_t>()] = v.at(1);
  nas::Arch arch;
  for (nas::Decision d; space.next(arch, d);) {
    const nas::ArchKey key = nas::hash_numbers(space.state(arch));
    const auto& row = table[{key.high, key.low}];
    const auto value = [&](int32_t choice) { return row.count(choice) ? row.at(choice) : initial; };
    int32_t best = d.legal[0];
    for (const int32_t choice : d.legal)
      if (value(choice) > value(best)) best = choice;
    arch.push_back(best);
  }
  return arch;
}

// Reward 1 for one path and 0 for all others: the greedy policy becomes that path. It has one layer, as the states
// of deeper ones do not know the layers before their last.
TEST(QLearning, FindsTheOneGoodPath) {
  const auto space = nas::find_space("metaqnn:layers=2");
  const nas::Arch target = space->parse("C(256,3,1), SM");
  const auto strategy = make(*space, {{"schedule", "1.0:100,0.5:60"}, {"alpha", "0.1"}, {"initial-q", "0"}});
  Judge judge([&](const nas::Arch& a) { return a == target ? 100.0 : 0.0; });
  nas::SearchLoop loop(*strategy, judge, {});
  loop.run();
  EXPECT_EQ(loop.evaluations(), 160);
  EXPECT_EQ(loop.best().candidate.arch, target);
  EXPECT_EQ(greedy(*space, strategy->save(), 0), target);
}

// One told episode moves the first transition at once: the updates go from the last to the first.
TEST(QLearning, TheRewardGoesAllTheWayBack) {
  const auto space = nas::find_space("nb201");
  const auto strategy = make(*space, {{"alpha", "0.5"}, {"initial-q", "0"}, {"replay", "0"}});
  const nas::Candidate c = *strategy->ask();
  strategy->tell(c, {.accuracy = 80});
  const nas::Json state = strategy->save();
  double value = 0.8;
  for (size_t i = c.arch.size(); i-- > 0;) {
    value *= 0.5;  // half of what may be reached from there, half of the old 0
    const nas::ArchKey key = nas::hash_numbers(space->state(nas::Arch(c.arch.begin(), c.arch.begin() + i)));
    bool found = false;
    for (const nas::Json& row : state["q"])
      if (row.at(0) == key.high && row.at(1) == key.low) {
        found = true;
        EXPECT_EQ(row.at(2), (nas::Json{{c.arch[i], value}}));
      }
    EXPECT_TRUE(found);
  }
}

// Epsilon falls after the stated number of new models; nothing is asked twice; after the last the search ends.
TEST(QLearning, TheScheduleCountsNewModels) {
  const auto space = nas::find_space("nb201");
  std::vector<nas::Arch> asked;
  std::set<nas::Arch> unique;
  const auto strategy = make(*space, {{"schedule", "1.0:200,0.0:3"}, {"alpha", "0.5"}});
  Judge judge([&](const nas::Arch& a) {
    asked.push_back(a);
    unique.insert(a);
    return 10.0 * static_cast<double>(std::count(a.begin(), a.end(), 3));
  });
  nas::SearchLoop loop(*strategy, judge, {});
  loop.run();
  EXPECT_TRUE(strategy->finished());
  EXPECT_EQ(asked.size(), unique.size());
  EXPECT_LE(asked.size(), 203u);  // without chance a policy may find nothing new
  // Up to there it is the search that goes on with epsilon 1; the next model is another.
  std::vector<nas::Arch> random;
  const auto other = make(*space, {{"schedule", "1.0:201"}, {"alpha", "0.5"}});
  Judge same([&](const nas::Arch& a) {
    random.push_back(a);
    return 10.0 * static_cast<double>(std::count(a.begin(), a.end(), 3));
  });
  nas::SearchLoop(*other, same, {}).run();
  ASSERT_GT(asked.size(), 200u);
  for (size_t i = 0; i < 200; ++i) ASSERT_EQ(asked[i], random[i]);
  EXPECT_NE(asked[200], random[200]);
  const nas::StrategyInfo& info = nas::find_strategy("q-learning");
  const nas::Settings settings(info.settings);
  int64_t models = 0;
  for (const char* part : {"1.0:1500", "0.9:100", "0.8:100", "0.7:100", "0.6:150", "0.5:150", "0.4:150", "0.3:150",
                           "0.2:150", "0.1:150"}) {
    EXPECT_NE(settings.text("schedule").find(part), std::string::npos);
    models += std::stoll(std::string(part).substr(4));
  }
  EXPECT_EQ(models, 2700);
  for (const char* bad : {"", "1.0", "1.0:0", "2:10", "1:10,", "1:x"})
    EXPECT_THROW(make(*space, {{"schedule", bad}}), Error) << bad;
}

// What it learns pays: models of the greedy end are better than random ones.
TEST(QLearning, LaterModelsAreBetter) {
  const auto space = nas::find_space("nb201");
  double early = 0, late = 0;
  int64_t count = 0;
  const auto strategy =
      make(*space, {{"schedule", "1.0:150,0.7:50,0.4:50,0.1:50"}, {"alpha", "0.05"}, {"initial-q", "0"}});
  Judge judge([&](const nas::Arch& a) {
    const double accuracy = 16.0 * static_cast<double>(std::count(a.begin(), a.end(), 3));
    if (count < 150) early += accuracy / 150;
    if (count >= 250) late += accuracy / 50;
    ++count;
    return accuracy;
  });
  nas::SearchLoop loop(*strategy, judge, {});
  loop.run();
  EXPECT_EQ(count, 300);
  EXPECT_NEAR(early, 19.2, 3);
  EXPECT_GT(late, 32);  // six standard errors above random ones
}

TEST(QLearning, EndsWhenNothingIsNew) {
  const auto space = nas::find_space("metaqnn:layers=1,size=2");  // 4 convolutions, 3 FC, GAP and the end
  const auto strategy = make(*space, {});
  Judge judge([](const nas::Arch&) { return 50.0; });
  nas::SearchLoop loop(*strategy, judge, {});
  loop.run();
  EXPECT_EQ(loop.evaluations(), 9);
  EXPECT_THROW(make(*nas::find_space("dna"), {}), Error);
}

// Saved with candidates under way, in the greedy part.
TEST(QLearning, Resumes) {
  const auto space = nas::find_space("metaqnn:layers=6");
  const Changes changes = {{"schedule", "1.0:60,0.3:200"}, {"alpha", "0.1"}};
  const auto whole = make(*space, changes, 5);
  std::vector<nas::Candidate> under_way;
  const auto turn = [&](nas::Strategy& s, std::vector<nas::Candidate>& waiting) {
    waiting.push_back(*s.ask());
    const nas::Candidate asked = waiting.back();
    if (waiting.size() == 3) {
      s.tell(waiting.front(), {.accuracy = static_cast<double>(waiting.front().arch.size() * 10)});
      waiting.erase(waiting.begin());
    }
    return asked.arch;
  };
  for (int i = 0; i < 120; ++i) turn(*whole, under_way);
  const auto other = make(*space, changes, 5);
  other->load(nas::Json::parse(whole->save().dump()));
  std::vector<nas::Candidate> under_way_too = under_way;
  for (int i = 0; i < 80; ++i) ASSERT_EQ(turn(*whole, under_way), turn(*other, under_way_too)) << i;
}

}  // namespace
}  // namespace mixop::test
