// Policies that learn: the recurrent controller against its graph, its gradient, and searches on toy rewards.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/search/controller.h"
#include "nas/search/loop.h"
#include "nas/search/ppo.h"
#include "nas/space/spaces.h"

namespace mixop {
namespace {

using nas::Arch;
using nas::Decision;

// Up to three layers, each an operation (0 to 2; 2 is the last layer) and the earlier layers that feed it. After a
// first 1 there is no other 1.
class Anchored final : public nas::Space {
 public:
  std::string name() const override { return "anchored"; }
  std::string describe() const override { return "a chain with anchor points"; }
  Arch parse(std::string_view) const override { return {}; }
  std::string format(const Arch&) const override { return {}; }
  std::vector<int> kinds() const override { return {3, 2}; }
  double count() const override { return 0; }
  bool next(const Arch& prefix, Decision& d) const override {
    size_t at = 0;
    for (int layer = 0; layer < 3; ++layer) {
      if (layer > 0 && prefix[at - static_cast<size_t>(layer)] == 2) return false;
      for (int source = -1; source < layer; ++source, ++at) {
        if (at < prefix.size()) continue;
        d.kind = source >= 0;
        d.layer = layer;
        d.source = source;
        if (source >= 0) {
          d.legal = {0, 1};
        } else if (layer > 0 && prefix[0] == 1) {
          d.legal = {0, 2};
        } else {
          d.legal = {0, 1, 2};
        }
        return true;
      }
    }
    return false;
  }
};

// Four decisions of five values, each of a kind of its own.
class Apart final : public nas::Space {
 public:
  std::string name() const override { return "apart"; }
  std::string describe() const override { return "decisions that share no head"; }
  Arch parse(std::string_view) const override { return {}; }
  std::string format(const Arch&) const override { return {}; }
  std::vector<int> kinds() const override { return {5, 5, 5, 5}; }
  double count() const override { return 625; }
  bool next(const Arch& prefix, Decision& d) const override {
    d = {.kind = static_cast<int>(prefix.size()), .legal = {0, 1, 2, 3, 4}};
    return prefix.size() < 4;
  }
};

std::vector<Arch> enumerate(const nas::Space& space) {
  std::vector<Arch> all;
  const std::function<void(const Arch&)> walk = [&](const Arch& prefix) {
    Decision d;
    if (!space.next(prefix, d)) return all.push_back(prefix);
    for (const int32_t value : d.legal) {
      Arch longer = prefix;
      longer.push_back(value);
      walk(longer);
    }
  };
  walk({});
  return all;
}

double total(const std::vector<double>& values) { return std::accumulate(values.begin(), values.end(), 0.0); }

constexpr nas::ControllerOptions kSmall{.layers = 2, .units = 5, .init = 0.6, .lr = 0.01};

TEST(Controller, ProbabilitiesOfAllArchitecturesAddToOne) {
  const Anchored space;
  nas::Controller controller(space, kSmall, 1);
  double sum = 0;
  for (const Arch& arch : enumerate(space)) sum += std::exp(total(controller.log_probabilities(arch)));
  EXPECT_NEAR(sum, 1, 1e-6);
}

TEST(Controller, SamplesAsItsProbabilitiesSay) {
  const Anchored space;
  nas::Controller controller(space, kSmall, 1);
  std::map<Arch, int> seen;
  nas::Random random(4);
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++seen[controller.sample(random)];
  for (const Arch& arch : enumerate(space)) {
    const double p = std::exp(total(controller.log_probabilities(arch)));
    EXPECT_NEAR(seen[arch] / double{kDraws}, p, 5 * std::sqrt(p / kDraws));
  }
}

TEST(Controller, PlainPassAndGraphAgree) {
  std::vector<std::unique_ptr<nas::Space>> spaces;
  spaces.push_back(std::make_unique<Anchored>());
  spaces.push_back(nas::find_space("chain:layers=5,skips=1"));
  for (const std::string& name : nas::space_names())
    if (auto space = nas::find_space(name); !space->kinds().empty()) spaces.push_back(std::move(space));
  for (const auto& space : spaces) {
    nas::Controller controller(*space, kSmall, 3);
    nas::Random random(5);
    std::vector<Arch> archs;
    for (int i = 0; i < 4; ++i) {
      archs.push_back(controller.sample(random));
      EXPECT_FALSE(space->find_fault(archs.back())) << space->name();
    }
    const nas::PerDecision graph = controller.log_probabilities(archs);
    for (size_t a = 0; a < archs.size(); ++a) {
      const std::vector<double> plain = controller.log_probabilities(archs[a]);
      ASSERT_EQ(plain.size(), archs[a].size());
      ASSERT_EQ(plain.size(), graph[a].size());
      for (size_t t = 0; t < plain.size(); ++t) EXPECT_NEAR(plain[t], graph[a][t], 1e-5) << space->name();
    }
  }
  EXPECT_GE(spaces.size(), 3u);
}

TEST(Policies, RefuseASpaceThatIsNotBuiltStepByStep) {
  const auto space = nas::find_space("dna");
  for (const char* name : {"reinforce", "nas-rl", "ppo"}) {
    const nas::StrategyInfo& info = nas::find_strategy(name);
    EXPECT_THROW(info.make(*space, nas::Settings(info.settings), 0), Error) << name;
  }
}

TEST(Controller, GradientAgreesWithDifferences) {
  const Anchored space;
  nas::ControllerOptions options = kSmall;
  options.entropy = 0.7;
  nas::Controller controller(space, options, 2);
  const std::vector<Arch> archs = {{1, 0, 1, 0, 1, 0}, {0, 2, 1}, {2}};
  const nas::PerDecision weights = {{1, -2, 0.5, 1, 1, 3}, {0.3, 1, -1}, {2}};
  const std::vector<float> gradient = controller.gradient(archs, weights);
  const auto value = [&] {
    double sum = 0;
    for (size_t a = 0; a < archs.size(); ++a) {
      nas::ControllerWalk walk(controller.net());
      Arch prefix;
      for (Decision d; space.next(prefix, d);) {
        const std::vector<double> logs = walk.next(d);
        const int32_t chosen = archs[a][prefix.size()];
        for (size_t i = 0; i < logs.size(); ++i) {
          if (d.legal[i] == chosen) sum += weights[a][prefix.size()] * logs[i];
          sum -= options.entropy * std::exp(logs[i]) * logs[i];
        }
        walk.choose(d, chosen);
        prefix.push_back(chosen);
      }
    }
    return sum / static_cast<double>(archs.size());
  };
  float* parameters = controller.net().parameters.flat().as<float>();
  double largest = 0;
  for (size_t i = 0; i < gradient.size(); ++i) {
    const float here = parameters[i], above = here + 0x1p-8f, below = here - 0x1p-8f;
    parameters[i] = above;
    const double up = value();
    parameters[i] = below;
    const double slope = (up - value()) / (double{above} - double{below});
    parameters[i] = here;
    EXPECT_NEAR(gradient[i], slope, 2e-5 + 1e-4 * std::abs(slope)) << i;
    largest = std::max(largest, std::abs(slope));
  }
  EXPECT_GT(largest, 0.1);
}

// sum over a of P(a) grad log P(a) = grad 1 = 0: no baseline changes the expected gradient.
TEST(Controller, ExpectedScoreIsZero) {
  const Anchored space;
  nas::Controller controller(space, kSmall, 6);
  const std::vector<Arch> all = enumerate(space);
  nas::PerDecision weights;
  for (const Arch& arch : all) {
    const double p = std::exp(total(controller.log_probabilities(arch)));
    weights.emplace_back(arch.size(), p * static_cast<double>(all.size()));
  }
  for (const float g : controller.gradient(all, weights)) EXPECT_NEAR(g, 0, 1e-6);
  weights[0][0] *= 2;
  double largest = 0;
  for (const float g : controller.gradient(all, weights)) largest = std::max(largest, std::abs(double{g}));
  EXPECT_GT(largest, 1e-3);
}

TEST(Controller, UpdateMakesTheRewardedLikelier) {
  const auto space = nas::find_space("nb201");
  nas::Controller controller(*space, kSmall, 6);
  const std::vector<Arch> archs = {{1, 2, 3, 4, 0, 1}, {2, 2, 2, 2, 2, 2}};
  const auto before = controller.log_probabilities(archs);
  controller.update(archs, {std::vector<double>(6, 1), std::vector<double>(6, -1)});
  const auto after = controller.log_probabilities(archs);
  EXPECT_GT(total(after[0]), total(before[0]));
  EXPECT_LT(total(after[1]), total(before[1]));
}

TEST(Controller, RefusesAStateOfAnotherSize) {
  const auto space = nas::find_space("nb201");
  nas::Controller small(*space, kSmall, 0), large(*space, {}, 0);
  EXPECT_THROW(large.load(small.save()), Error);
}

TEST(Ppo, WeightsAreTheGradientOfTheClippedSurrogate) {
  const std::vector<double> advantages = {0.7, -0.4};
  for (const double shift : {-0.5, -0.1, 0.0, 0.1, 0.5}) {
    const nas::PerDecision before = {{-1.0}, {-2.0}}, now = {{-1.0 + shift}, {-2.0 + shift}};
    const nas::PerDecision weights = nas::clipped_weights(before, now, advantages, 0.2);
    for (size_t a = 0; a < 2; ++a) {
      const auto surrogate = [&](double log_ratio) {
        const double r = std::exp(log_ratio), A = advantages[a];
        return std::min(r * A, std::clamp(r, 0.8, 1.2) * A);
      };
      EXPECT_NEAR(weights[a][0], (surrogate(shift + 1e-6) - surrogate(shift - 1e-6)) / 2e-6, 1e-6);
      if (shift == 0) {
        EXPECT_EQ(weights[a][0], advantages[a]);
      }
    }
  }
}

// Before the first inner step nothing has moved: every ratio is exactly 1.
TEST(Ppo, FirstRatioIsOne) {
  const auto space = nas::find_space("nb201");
  nas::Controller controller(*space, {}, 8);
  nas::Random random(1);
  std::vector<Arch> archs;
  for (int i = 0; i < 20; ++i) archs.push_back(controller.sample(random));
  const auto before = controller.log_probabilities(archs);
  EXPECT_EQ(before, controller.log_probabilities(archs));
  controller.update(archs, nas::PerDecision(20, std::vector<double>(6, 1)));
  EXPECT_NE(before, controller.log_probabilities(archs));
}

class Reward final : public nas::ImmediateEvaluator {
 public:
  using Function = double (*)(const Arch&);
  explicit Reward(Function accuracy) : accuracy_(accuracy) {}

 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override { return {.accuracy = accuracy_(c.arch), .cost = 1}; }

 private:
  Function accuracy_;
};

std::vector<Arch> search(const nas::Space& space, const std::string& strategy, const std::string& lr,
                         Reward::Function accuracy, int evaluations) {
  const nas::StrategyInfo& info = nas::find_strategy(strategy);
  nas::Settings settings(info.settings);
  if (!lr.empty()) settings.set("lr", lr);
  const auto made = info.make(space, settings, 0);
  Reward reward(accuracy);
  std::vector<Arch> archs;
  nas::SearchLoop(*made, reward, {.evaluations = evaluations},
                  [&](const nas::Evaluated& e, const nas::SearchLoop&) { archs.push_back(e.candidate.arch); })
      .run();
  return archs;
}

// Entropy in bits of one decision over the last 500 candidates.
double entropy(const std::vector<Arch>& archs, size_t position) {
  std::array<double, 5> share{};
  for (size_t i = archs.size() - 500; i < archs.size(); ++i)
    share[static_cast<size_t>(archs[i][position])] += 0.002;
  double bits = 0;
  for (const double p : share) bits -= p > 0 ? p * std::log2(p) : 0;
  return bits;
}

TEST(Policies, OnlyTheRewardedDecisionCollapses) {
  struct Case {
    const char *name, *lr;
    int evaluations;
    double least;  // of 2.32 bits; what drifts meanwhile is most with the inner steps of ppo
  };
  for (const Case& c :
       {Case{"reinforce", "0.02", 2500, 1.8}, {"nas-rl", "6e-4", 6000, 1.8}, {"ppo", "5e-4", 3000, 1.0}}) {
    const auto archs = search(
        Apart(), c.name, c.lr, [](const Arch& a) { return a[1] == 3 ? 90.0 : 60.0; }, c.evaluations);
    EXPECT_EQ(archs.back()[1], 3) << c.name;
    EXPECT_LT(entropy(archs, 1), 0.2) << c.name;
    for (const size_t other : {0, 2, 3}) EXPECT_GT(entropy(archs, other), c.least) << c.name << " " << other;
  }
}

TEST(Policies, BeatRandomDraws) {
  const auto space = nas::find_space("nb201");
  const Reward::Function convolutions = [](const Arch& a) {
    return 40.0 + 10 * static_cast<double>(std::count(a.begin(), a.end(), 3));
  };
  const auto late_mean = [&](const std::vector<Arch>& archs) {
    double sum = 0;
    for (size_t i = archs.size() - 200; i < archs.size(); ++i) sum += convolutions(archs[i]);
    return sum / 200;
  };
  EXPECT_NEAR(late_mean(search(*space, "random", "", convolutions, 1500)), 52, 3);
  for (const auto& [name, lr] : {std::pair{"reinforce", "0.02"}, {"nas-rl", "0.005"}, {"ppo", "0.003"}})
    EXPECT_GT(late_mean(search(*space, name, lr, convolutions, 1500)), 75) << name;
}

}  // namespace
}  // namespace mixop
