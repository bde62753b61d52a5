// Model-based searches: the Gaussian process against closed forms, the networks' gradient, both searches on a toy.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <set>

#include "kernels/core/check.h"
#include "nas/search/gaussian_process.h"
#include "nas/search/loop.h"
#include "nas/search/mlp_ensemble.h"
#include "nas/search/strategies.h"
#include "nas/space/spaces.h"
#include "tests/support/search_toys.h"

namespace mixop {
namespace {

using Eigen::MatrixXd;
using Eigen::MatrixXf;
using Eigen::VectorXd;
using Eigen::VectorXf;
using nas::Arch;
using nas::GaussianProcess;

constexpr nas::Kernel kKernels[] = {nas::Kernel::kRbf, nas::Kernel::kMatern32, nas::Kernel::kMatern52};

// Correlation at distance r with length scale l, as reference books print it.
double correlation(nas::Kernel kernel, double r, double l) {
  if (kernel == nas::Kernel::kRbf) return std::exp(-r * r / (2 * l * l));
  if (kernel == nas::Kernel::kMatern32) return (1 + std::sqrt(3) * r / l) * std::exp(-std::sqrt(3) * r / l);
  return (1 + std::sqrt(5) * r / l + 5 * r * r / (3 * l * l)) * std::exp(-std::sqrt(5) * r / l);
}

MatrixXd column(std::initializer_list<double> values) {
  MatrixXd m(static_cast<Eigen::Index>(values.size()), 1);
  Eigen::Index i = 0;
  for (const double v : values) m(i++, 0) = v;
  return m;
}

TEST(GaussianProcess, OnePointInClosedForm) {
  for (const nas::Kernel kernel : kKernels) {
    GaussianProcess process({.kernel = kernel, .length = 1.5, .variance = 3, .noise = 0.2});
    process.set_data(column({2}), column({4}));
    const auto p = process.predict(column({2, 3.3, 90}));
    for (const auto& [at, distance] : {std::pair{0, 0.0}, {1, 1.3}, {2, 88.0}}) {
      const double c = correlation(kernel, distance, 1.5);
      EXPECT_NEAR(p.mean(at), c / 1.2 * 4, 1e-12);
      EXPECT_NEAR(p.deviation(at), std::sqrt(3 * (1 - c * c / 1.2)), 1e-12);
    }
    EXPECT_NEAR(process.log_likelihood(), -0.5 * (16 / 3.6 + std::log(3.6) + std::log(2 * std::numbers::pi)),
                1e-12);
  }
}

TEST(GaussianProcess, TwoPointsInClosedForm) {
  for (const nas::Kernel kernel : kKernels) {
    GaussianProcess process({.kernel = kernel, .length = 0.8, .variance = 2, .noise = 0.1});
    process.set_data(column({0, 1}), column({1, -3}));
    const double a = 2 * 1.1, b = 2 * correlation(kernel, 1, 0.8), determinant = a * a - b * b;
    const double squares = (a * (1 + 9) - 2 * b * 1 * -3) / determinant;  // y^T K^-1 y
    EXPECT_NEAR(process.log_likelihood(),
                -0.5 * (squares + std::log(determinant) + 2 * std::log(2 * std::numbers::pi)), 1e-12);
    const double k0 = 2 * correlation(kernel, 0.3, 0.8), k1 = 2 * correlation(kernel, 0.7, 0.8);
    const auto p = process.predict(column({0.3}));
    EXPECT_NEAR(p.mean(0), (k0 * (a * 1 - b * -3) + k1 * (a * -3 - b * 1)) / determinant, 1e-12);
    const double explained = (a * (k0 * k0 + k1 * k1) - 2 * b * k0 * k1) / determinant;
    EXPECT_NEAR(p.deviation(0), std::sqrt(2 - explained), 1e-12);
  }
}

TEST(GaussianProcess, InterpolatesWithoutNoise) {
  const MatrixXd x = column({0, 1, 2.5, 4, 7}), y = column({3, -1, 0.5, 2, 8});
  for (const nas::Kernel kernel : kKernels) {
    GaussianProcess process({.kernel = kernel, .noise = 1e-9});
    process.set_data(x, y);
    const auto p = process.predict(x);
    for (Eigen::Index i = 0; i < 5; ++i) {
      EXPECT_NEAR(p.mean(i), y(i, 0), 1e-6);
      EXPECT_LT(p.deviation(i), 1e-4);
    }
    EXPECT_GT(process.predict(column({5.5})).deviation(0), 0.1);
  }
}

TEST(GaussianProcess, FitClimbsTheLikelihood) {
  nas::Random random(3);
  MatrixXd x(60, 1);
  VectorXd y(60);
  for (Eigen::Index i = 0; i < 60; ++i) {
    x(i, 0) = random.uniform(0, 20);
    y(i) = 5 * std::sin(x(i, 0)) + 0.1 * random.normal();
  }
  GaussianProcess process({.kernel = nas::Kernel::kRbf, .length = 30, .noise = 1});
  process.set_data(x, y);
  const double before = process.log_likelihood();
  process.fit();
  const double after = process.log_likelihood();
  EXPECT_GT(after, before + 50);
  const nas::GaussianProcessOptions found = process.options();
  EXPECT_GT(found.length, 0.8);  // a sine of period 2 pi
  EXPECT_LT(found.length, 4);
  EXPECT_NEAR(std::sqrt(found.noise * found.variance), 0.1, 0.05);
  for (const auto& [length, noise, variance] :
       {std::tuple{2.0, 1.0, 1.0}, {0.5, 1.0, 1.0}, {1.0, 10.0, 1.0}, {1.0, 0.1, 1.0}, {1.0, 1.0, 1.1}}) {
    nas::GaussianProcessOptions o = found;
    o.length *= length;
    o.noise *= noise;
    o.variance *= variance;
    process.set_options(o);
    EXPECT_LT(process.log_likelihood(), after);
  }
}

TEST(Mlp, GradientAgreesWithDifferences) {
  nas::Random random(1);
  nas::Mlp mlp(3, {.layers = 2, .width = 4}, random);
  for (float& p : mlp.parameters()) p += static_cast<float>(random.uniform(-0.5, 0.5));  // off the kinks at 0
  MatrixXf x(3, 5);
  VectorXf y(5);
  for (float& v : x.reshaped()) v = static_cast<float>(random.uniform(-1, 1));
  for (float& v : y) v = static_cast<float>(random.uniform(-1, 1));
  const VectorXf gradient = mlp.gradient(x, y);
  const auto loss = [&] { return double{(mlp.predict(x) - y).cwiseAbs().mean()}; };
  for (Eigen::Index i = 0; i < gradient.size(); ++i) {
    float& p = mlp.parameters()(i);
    const float here = p;
    p = here + 0x1p-10f;
    const double up = loss();
    p = here - 0x1p-10f;
    const double slope = (up - loss()) * 0x1p9;
    p = here;
    EXPECT_NEAR(gradient(i), slope, 2e-3) << i;
  }
  EXPECT_GT(gradient.cwiseAbs().maxCoeff(), 0.05f);
}

TEST(Mlp, EnsembleLearnsAndDisagreesElsewhere) {
  nas::Random random(2);
  MatrixXf x(4, 80);
  for (float& v : x.reshaped()) v = static_cast<float>(random.below(2));
  const VectorXf y = (3 * x.row(0) - 2 * x.row(1) + 10 * x.row(2).cwiseProduct(x.row(3))).transpose();
  const nas::MlpOptions options{.layers = 3, .width = 16, .epochs = 100};
  const auto p = nas::train_ensemble(5, options, x, y, x, random);
  EXPECT_LT((p.mean - y).cwiseAbs().mean(), 0.5);
  const auto elsewhere = nas::train_ensemble(5, options, x, y, MatrixXf::Constant(4, 1, 5), random);
  EXPECT_GT(elsewhere.deviation(0), 2 * p.deviation.mean());
  const auto alone = nas::train_ensemble(1, options, x, y, x, random);
  EXPECT_EQ(alone.deviation.cwiseAbs().maxCoeff(), 0);
}

// Twelve decisions of four values; the error is the Hamming distance to a hidden architecture.
const test::DigitSpace kSpace(12, 4);

class Distance final : public nas::ImmediateEvaluator {
 public:
  nas::Outcome evaluate(const nas::Candidate& c) override {
    double right = 0;
    for (size_t i = 0; i < c.arch.size(); ++i) right += c.arch[i] == static_cast<int32_t>(i * 7 % 4);
    return {.accuracy = 40 + 5 * right, .cost = 1};
  }
};

// Small enough for a test.
const std::map<std::string, std::string> kBananas = {{"layers", "2"}, {"epochs", "30"}};
const std::map<std::string, std::string> kBayes = {{"draws", "30"}};

double mean_best(const std::string& name, const std::map<std::string, std::string>& settings, int evaluations) {
  double sum = 0;
  for (uint64_t seed = 0; seed < 2; ++seed) {
    const auto strategy = test::make_strategy(name, kSpace, seed, settings);
    Distance distance;
    nas::SearchLoop loop(*strategy, distance, {.evaluations = evaluations});
    loop.run();
    sum += loop.best().outcome.accuracy;
  }
  return sum / 2;
}

TEST(Bayes, BeatsRandomDraws) {
  const double random = mean_best("random", {}, 40);
  EXPECT_LT(random, 80);
  const auto ours = [](const std::string& setting, const std::string& value) {
    return mean_best("bayes", {{"draws", "50"}, {setting, value}}, 40);
  };
  for (const char* kernel : {"rbf", "matern32", "matern52"})
    EXPECT_GT(ours("kernel", kernel), random + 8) << kernel;
  for (const char* acquisition : {"ucb", "its"})
    EXPECT_GT(ours("acquisition", acquisition), random + 8) << acquisition;
  EXPECT_GT(ours("target", "rank"), random + 8);
}

TEST(Bananas, BeatsRandomDraws) {
  EXPECT_GT(mean_best("bananas", kBananas, 100), mean_best("random", {}, 100) + 10);
}

// 40 evaluations with `ahead` candidates under way, saved and loaded after every one of them when `resume`.
std::vector<Arch> play(const nas::Space& space, const std::string& name,
                       const std::map<std::string, std::string>& settings, size_t ahead, bool resume) {
  std::vector<Arch> archs;
  std::deque<nas::Candidate> under_way;
  Distance distance;
  auto strategy = test::make_strategy(name, space, 5, settings);
  while (archs.size() < 40) {
    while (under_way.size() < ahead) {
      auto c = strategy->ask();
      if (!c) break;
      under_way.push_back(*c);
    }
    strategy->tell(under_way.front(), distance.evaluate(under_way.front()));
    archs.push_back(under_way.front().arch);
    under_way.pop_front();
    if (!resume) continue;
    const std::string saved = strategy->save().dump();
    strategy = test::make_strategy(name, space, 5, settings);
    strategy->load(nas::Json::parse(saved));
  }
  return archs;
}

TEST(ModelBased, ResumeWithCandidatesUnderWay) {
  for (const size_t ahead : {1, 4, 30}) {
    EXPECT_EQ(play(kSpace, "bayes", kBayes, ahead, false), play(kSpace, "bayes", kBayes, ahead, true));
    EXPECT_EQ(play(kSpace, "bananas", kBananas, ahead, false), play(kSpace, "bananas", kBananas, ahead, true));
  }
  // Batches are whole, whatever is evaluated at a time.
  EXPECT_EQ(play(kSpace, "bananas", kBananas, 1, false), play(kSpace, "bananas", kBananas, 30, false));
}

TEST(ModelBased, AskForNothingTwice) {
  const auto space = nas::find_space("nb201");
  for (const char* name : {"bayes", "bananas"}) {
    const auto archs = play(*space, name, name == std::string("bananas") ? kBananas : kBayes, 6, false);
    // The first ten are plain draws.
    EXPECT_EQ(std::set<Arch>(archs.begin() + 10, archs.end()).size(), 30u) << name;
  }
}

TEST(ModelBased, KeepABoundedHistoryWithTheBest) {
  for (const char* name : {"bayes", "bananas"}) {
    auto settings = name == std::string("bananas") ? kBananas : kBayes;
    settings.emplace("points", "20");
    const auto strategy = test::make_strategy(name, kSpace, 1, settings);
    Distance distance;
    nas::SearchLoop loop(*strategy, distance, {.evaluations = 130});
    loop.run();
    const nas::Json points = strategy->save()["points"];
    EXPECT_LE(points.size(), 20u);
    EXPECT_GE(points.size(), 10u);
    bool there = false;
    for (const nas::Json& p : points) there |= p[0].get<Arch>() == loop.best().candidate.arch;
    EXPECT_TRUE(there) << name;
  }
}

TEST(ModelBased, RefuseASpaceWithoutEncoding) {
  for (const char* name : {"bayes", "bananas"})
    EXPECT_THROW(test::make_strategy(name, kSpace, 0, {{"encoding", "path"}}), Error);
}

}  // namespace
}  // namespace mixop
