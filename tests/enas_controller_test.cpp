// The ENAS controllers: counts and numbers of the reference, the graph against plain loops, the policy gradient in
// float64 against differences, and what they learn.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"
#include "nas/search/enas_controller.h"

namespace mixop {
namespace {

using kernels::DType;
using nas::Arch;
using nas::EnasController;
using nas::EnasControllerOptions;
using nas::EnasSample;

EnasControllerOptions small(EnasControllerOptions o) {
  o.nodes = 2;
  o.layers = 4;
  o.edges = 4;
  o.units = 3;
  o.init = 0.7;
  o.aggregate = 3;
  return o;
}

const EnasControllerOptions kAll[] = {{}, EnasControllerOptions::macro(), EnasControllerOptions::nb201()};

TEST(EnasController, HasTheReferenceCounts) {
  EXPECT_EQ(EnasController({}, 0).parameters().elements(), 41733);
  EXPECT_EQ(EnasController(EnasControllerOptions::macro(), 0).parameters().elements(), 41856);
  // 32 of the start, 5 x 32 of the embedding, twice (64 + 2) x 128 of the LSTM, 33 x 5 of the classifier.
  EXPECT_EQ(EnasController(EnasControllerOptions::nb201(), 0).parameters().elements(), 17253);
  EXPECT_EQ(EnasControllerOptions{}.length(), 40u);
  EXPECT_EQ(EnasControllerOptions::macro().length(), 78u);
  EXPECT_EQ(EnasControllerOptions::nb201().length(), 6u);
}

// Reference 3.2: with the authors' small random parameters only the op bias is felt.
TEST(EnasController, MicroBeginsAsTheReferenceSays) {
  double information = 0, entropy = 0;
  constexpr int kSeeds = 10, kSamples = 10;
  for (uint64_t seed = 0; seed < kSeeds; ++seed) {
    const EnasController controller({}, seed);
    nas::Random random(seed);
    for (int i = 0; i < kSamples; ++i) {
      const EnasSample s = controller.sample(random);
      information += s.information / (kSeeds * kSamples);
      entropy += s.entropy / (kSeeds * kSamples);
      const std::vector<double> normal = {.315, .315, .123, .123, .123}, reduce = {.254, .254, .164, .164, .164};
      for (size_t at = 1; at < 40; at += 2)
        for (size_t op = 0; op < 5; ++op)
          EXPECT_NEAR(s.probabilities[at][op], at < 20 ? normal[op] : reduce[op], 0.01) << at;
      for (size_t at = 0; at < 40; at += 2)
        for (const double p : s.probabilities[at]) EXPECT_NEAR(p * static_cast<double>(at % 20 / 4 + 2), 1, 0.02);
    }
  }
  EXPECT_NEAR(entropy, 57.19, 0.02);
  EXPECT_NEAR(information, 57.19, 0.6);  // deviation of one sample 1.7 nats, of 100 0.17
  EXPECT_NEAR(entropy * EnasControllerOptions{}.entropy_weight, 0.0057, 0.00003);
}

TEST(EnasController, MacroBeginsAsTheReferenceSays) {
  const EnasControllerOptions options = EnasControllerOptions::macro();
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const EnasController controller(options, seed);
    nas::Random random(seed);
    for (int i = 0; i < 5; ++i) {
      const EnasSample s = controller.sample(random);
      EXPECT_NEAR(s.information, 67.25, 1.0);
      EXPECT_NEAR(s.entropy, 26.46, 0.2);
      EXPECT_NEAR(s.skip_penalty, 0.1225, 0.01);
      EXPECT_EQ(s.arch, controller.measure(s.arch).arch);
    }
  }
  // Without any randomness in the parameters the numbers are exact.
  EnasControllerOptions flat = options;
  flat.init = 0;
  const EnasController controller(flat, 0);
  nas::Random random(1);
  const EnasSample s = controller.sample(random);
  EXPECT_NEAR(s.information, 12 * std::log(6) + 66 * std::log(2), 1e-9);
  EXPECT_NEAR(s.entropy, 12 * std::log(6) / 6 + 33 * std::log(2), 1e-9);
  EXPECT_NEAR(s.skip_penalty, 6 * 0.5 * std::log(0.25 / 0.24), 1e-9);
}

// Logits begin between -0.1 and 0.1: the classifier's bias within 1 / sqrt(32), over 5, times 2.5, and a little
// more.
TEST(EnasController, EdgesBeginNearlyUniform) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const EnasController controller(EnasControllerOptions::nb201(), seed);
    nas::Random random(seed);
    for (int i = 0; i < 20; ++i) {
      const EnasSample s = controller.sample(random);
      EXPECT_NEAR(s.entropy, 6 * std::log(5), 0.03);
      EXPECT_LT(s.entropy, 6 * std::log(5) - 1e-6);
      EXPECT_NEAR(s.information, 6 * std::log(5), 6 * 0.2);
      EXPECT_EQ(s.skip_penalty, 0);
      const EnasSample again = controller.measure(s.arch);
      EXPECT_EQ(s.arch, again.arch);
      EXPECT_EQ(s.information, again.information);
    }
  }
}

TEST(EnasController, ASingleOperationStaysBelowItsBound) {
  // Reference 3.2: with saturated logits one operation reaches 0.461 (normal cell) and 0.376 (reduction cell).
  EnasController controller({}, 0);
  const int bias = controller.parameters().find("op.bias");
  for (int i = 1; i < 5; ++i) controller.parameters().view(bias).as<float>()[i] = -10;
  nas::Random random(0);
  const EnasSample s = controller.sample(random);
  EXPECT_NEAR(s.probabilities[1][0], std::exp(.69) / (std::exp(.69) + std::exp(-.19) + 3 * std::exp(-.69)), 1e-3);
  EXPECT_NEAR(s.probabilities[21][0], 0.376, 1e-3);
}

TEST(EnasController, ProbabilitiesOfAllArchitecturesAddToOne) {
  EnasControllerOptions o = small({});
  o.nodes = 1;
  o.operations = 2;
  const EnasController micro(o, 3);
  double sum = 0;
  for (int32_t code = 0; code < 256; ++code) {
    Arch arch;
    for (int bit = 0; bit < 8; ++bit) arch.push_back(code >> bit & 1);
    sum += std::exp(-micro.measure(arch).information);
  }
  EXPECT_NEAR(sum, 1, 1e-9);

  o = small(EnasControllerOptions::macro());
  o.layers = 3;
  const EnasController macro(o, 3);
  sum = 0;
  for (int32_t code = 0; code < 216 * 8; ++code) {
    const int32_t ops = code / 8;
    sum += std::exp(
        -macro.measure({ops % 6, ops / 6 % 6, code & 1, ops / 36, code >> 1 & 1, code >> 2 & 1}).information);
  }
  EXPECT_NEAR(sum, 1, 1e-9);

  const EnasController edges(small(EnasControllerOptions::nb201()), 3);
  sum = 0;
  for (int32_t code = 0; code < 625; ++code)
    sum += std::exp(-edges.measure({code % 5, code / 5 % 5, code / 25 % 5, code / 125}).information);
  EXPECT_NEAR(sum, 1, 1e-9);
}

TEST(EnasController, RefusesWhatIsNotOfItsSpace) {
  const EnasController controller({}, 0);
  EXPECT_THROW((void)controller.measure(Arch(39)), Error);
  Arch arch(40);
  arch[0] = 2;
  EXPECT_THROW((void)controller.measure(arch), Error);
  EXPECT_THROW(EnasController({.skip_target = 1}, 0), Error);
  EXPECT_THROW(EnasController({.aggregate = 0}, 0), Error);
  EXPECT_THROW(EnasController({.lstm_layers = 0}, 0), Error);
  EXPECT_THROW(EnasController({.space = nas::EnasSpace::kEdges, .edges = 0}, 0), Error);
  const EnasController edges(EnasControllerOptions::nb201(), 0);
  EXPECT_THROW((void)edges.measure({0, 1, 2, 3, 4, 5}), Error);
}

// What gradient() differentiates, in plain loops.
double loss(const EnasController& c, const std::vector<Arch>& archs, const std::vector<double>& advantages) {
  double sum = 0;
  for (size_t a = 0; a < archs.size(); ++a) {
    const EnasSample s = c.measure(archs[a]);
    sum += s.information * advantages[a] + c.options().skip_weight * s.skip_penalty;
  }
  return sum / static_cast<double>(archs.size());
}

TEST(EnasController, GradientAgreesWithDifferences) {
  for (const EnasControllerOptions& all : kAll) {
    EnasControllerOptions options = small(all);
    const bool micro = all.space == nas::EnasSpace::kMicro;
    if (all.space != nas::EnasSpace::kMacro) options.temperature = 1.7;
    EnasController controller(options, 5, DType::kF64);
    double* parameters = controller.parameters().flat().as<double>();
    if (micro) {  // out of saturation, so that the bias is seen
      double* bias = controller.parameters().view(controller.parameters().find("op.bias")).as<double>();
      bias[0] = bias[1] = 0.5;
    }
    nas::Random random(2);
    std::vector<Arch> archs;
    for (int i = 0; i < 3; ++i) archs.push_back(controller.sample(random).arch);
    const std::vector<double> advantages = {0.7, -1.3, 2.1};
    const std::vector<double> gradient = controller.gradient(archs, advantages);
    double largest = 0;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double here = parameters[i], h = 1e-5;
      parameters[i] = here + h;
      const double up = loss(controller, archs, advantages);
      parameters[i] = here - h;
      const double slope = (up - loss(controller, archs, advantages)) / (2 * h);
      parameters[i] = here;
      EXPECT_NEAR(gradient[i], slope, 1e-8 * (1 + std::abs(slope))) << i;
      largest = std::max(largest, std::abs(slope));
    }
    EXPECT_GT(largest, 0.1);
  }
}

TEST(EnasController, SamplesAsItsProbabilitiesSay) {
  EnasControllerOptions o = small({});
  o.nodes = 1;
  o.operations = 2;
  const EnasController controller(o, 1);
  nas::Random random(4);
  std::map<Arch, int> seen;
  constexpr int kDraws = 20000;
  for (int i = 0; i < kDraws; ++i) ++seen[controller.sample(random).arch];
  EXPECT_GT(seen.size(), 200u);
  for (const auto& [arch, count] : seen) {
    const double p = std::exp(-controller.measure(arch).information);
    EXPECT_NEAR(count / double{kDraws}, p, 6 * std::sqrt(p / kDraws));
  }
}

TEST(EnasController, MovesTheBaselineBeforeTheAdvantage) {
  EnasControllerOptions o = small({});
  o.entropy_weight = 0.25;
  EnasController controller(o, 1);
  nas::Random random(0);
  const EnasSample s = controller.sample(random);
  const double reward = controller.learn(s, 0.5);
  EXPECT_DOUBLE_EQ(reward, 0.5 + 0.25 * s.entropy);
  EXPECT_DOUBLE_EQ(controller.baseline(), (1 - 0.99) * reward);
  EXPECT_DOUBLE_EQ(controller.save().at("advantages").at(0).get<double>(), reward - controller.baseline());
  EXPECT_EQ(controller.waiting(), 1u);
}

TEST(EnasController, HoldsTheBaselineForAnEpoch) {
  EnasControllerOptions o = small(EnasControllerOptions::nb201());
  o.hold_baseline = true;
  o.aggregate = 10;
  EnasController controller(o, 1);
  nas::Random random(0);
  const EnasSample s = controller.sample(random);
  const double entropy = o.entropy_weight * s.entropy;
  for (const double accuracy : {0.5, 0.25}) {
    controller.learn(s, accuracy);
    EXPECT_EQ(controller.baseline(), accuracy);
  }
  controller.end_epoch();
  for (const double accuracy : {0.75, 0.5}) {
    controller.learn(s, accuracy);
    EXPECT_NEAR(controller.baseline(), 0.99 * 0.25 + 0.01 * (accuracy + entropy), 1e-12);
  }
  const nas::Json advantages = controller.save().at("advantages");
  EXPECT_NEAR(advantages.at(0).get<double>(), entropy, 1e-12);
  EXPECT_NEAR(advantages.at(2).get<double>(), 0.99 * (0.5 + entropy), 1e-12);
}

// With beta1 = 0 a first step is along g / (|g| + epsilon): PyTorch's Adam corrects v before it adds epsilon,
// TensorFlow's after, which makes epsilon larger by 1 / sqrt(1 - beta2).
TEST(EnasController, MakesTheFirstStepOfItsAdam) {
  for (const EnasControllerOptions& all : {EnasControllerOptions{}, EnasControllerOptions::nb201()}) {
    const bool edges = all.space == nas::EnasSpace::kEdges;
    for (const double clip : {0.0, 1e-3}) {
      EnasControllerOptions o = small(all);
      o.aggregate = 1;
      o.clip = clip;
      EnasController controller(o, 1, DType::kF64);
      nas::Random random(0);
      const EnasSample s = controller.sample(random);
      const double reward = 0.5 + o.entropy_weight * s.entropy;
      std::vector<double> gradient = controller.gradient({s.arch}, {reward - (1 - o.baseline_decay) * reward});
      double norm = 0;
      for (const double g : gradient) norm += g * g;
      norm = std::sqrt(norm);
      ASSERT_GT(norm, 1e-2);
      const double scale = clip > 0 ? clip / norm : 1, eps = edges ? o.eps : o.eps / std::sqrt(1 - o.beta2);
      const kernels::View v = controller.parameters().flat();
      const std::vector<double> before(v.as<double>(), v.as<double>() + gradient.size());
      controller.learn(s, 0.5);
      for (size_t i = 0; i < gradient.size(); ++i) {
        const double g = scale * gradient[i];
        EXPECT_NEAR(v.as<double>()[i], before[i] - o.lr * g / (std::abs(g) + eps), 1e-12) << i;
      }
    }
  }
}

// Reward: the share of the wanted operation.
double share(const EnasControllerOptions& o, const Arch& arch, int32_t wanted) {
  double count = 0, all = 0;
  if (o.space == nas::EnasSpace::kMicro) {
    for (size_t i = 1; i < arch.size(); i += 2, ++all) count += arch[i] == wanted;
  } else if (o.space == nas::EnasSpace::kEdges) {
    for (const int32_t op : arch) ++all, count += op == wanted;
  } else {
    for (size_t at = 0, layer = 0; at < arch.size(); at += ++layer, ++all) count += arch[at] == wanted;
  }
  return count / all;
}

TEST(EnasController, LearnsAToyReward) {
  for (EnasControllerOptions o : kAll) {
    const bool micro = o.space == nas::EnasSpace::kMicro;
    o.nodes = 2;
    o.layers = 3;
    o.units = 8;
    o.aggregate = 5;
    o.lr = 0.02;
    EnasController controller(o, 1);
    nas::Random random(3);
    const auto mean = [&] {
      nas::Random draws(9);
      double sum = 0;
      for (int i = 0; i < 100; ++i) sum += share(o, controller.sample(draws).arch, 4) / 100;
      return sum;
    };
    const double before = mean();
    for (int i = 0; i < 120 * o.aggregate; ++i) {
      const EnasSample s = controller.sample(random);
      controller.learn(s, share(o, s.arch, 4));
    }
    const double after = mean();
    // In the micro space the frozen preference for convolutions leaves operation 4 at most 0.195 of a normal cell
    // and 0.26 of a reduction cell.
    EXPECT_GT(after, before + (micro ? 0.05 : 0.4)) << before << " to " << after;
  }
}

void goes_on_from_any_sample(const EnasControllerOptions& o) {
  const auto run = [&](EnasController& c, nas::Random& random, int samples) {
    for (int i = 0; i < samples; ++i) {
      const EnasSample s = c.sample(random);
      c.learn(s, share(o, s.arch, 1));
    }
  };
  EnasController whole(o, 1);
  nas::Random random(7);
  run(whole, random, 14);
  for (const int stop : {2, 3, 7}) {  // within an update, after one, in a later one
    EnasController first(o, 1), second(o, 99);
    nas::Random before(7), after(7);
    run(first, before, stop);
    second.load(nas::Json::parse(first.save().dump()));
    after.seek(before.position());
    run(second, after, 14 - stop);
    EXPECT_EQ(whole.save(), second.save()) << stop;
  }
  EnasController other({}, 0);
  EXPECT_THROW(other.load(whole.save()), Error);
}

TEST(EnasController, GoesOnFromAnySampleBitForBit) {
  goes_on_from_any_sample(small(EnasControllerOptions::macro()));
  goes_on_from_any_sample(small(EnasControllerOptions::nb201()));
}

}  // namespace
}  // namespace mixop
