// Gradients of alphas through a step of the weights: toys whose answers are known, both forms of the Hessian
// product against each other, and a supernet against the formula written down plainly.
#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "kernels/core/rng.h"
#include "nas/search/second_order.h"
#include "tests/support/tiny_bilevel.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Plan;
using autograd::TensorStore;
using autograd::Value;
using kernels::DType;
using kernels::Shape;
using nas::BilevelLoss;
using nas::HessianProduct;
using nas::SecondOrder;
using nas::Stores;
using Vector = std::vector<double>;

constexpr HessianProduct kForms[] = {HessianProduct::kFiniteDifference, HessianProduct::kExact};

/// A matrix [rows, columns] from its rows.
Value matrix(Graph& g, int64_t rows, const Vector& values) {
  std::vector<Value> elements;
  for (const double v : values) elements.push_back(autograd::constant(g, {1}, v));
  const auto n = static_cast<int64_t>(values.size());
  return autograd::reshape(g, autograd::concat(g, elements), {rows, n / rows});
}

/// A toy takes one image of two equal logits and a label: their cross-entropy, log 2, multiplies its loss, so that
/// gradients need both inputs.
BilevelLoss fed(Graph& g, Value loss) {
  const Value images = g.input("images", {1, 2}), labels = g.input("labels", {1}, DType::kI32);
  const Value factor = autograd::cross_entropy(g, images, labels);
  loss = autograd::times(g, autograd::mul(g, loss, factor), std::numbers::log2e);
  return {loss, autograd::top1(g, images, labels), loss};
}
Value half_square(Graph& g, Value x) {
  return autograd::times(g, autograd::reduce_sum(g, autograd::mul(g, x, x)), 0.5);
}
const float kPixels[2] = {0, 0};
const double kExactPixels[2] = {0, 0};
const int32_t kLabel = 0;
const nas::Batch kBatch{kPixels, &kLabel, 1, kExactPixels};

/// One step of a toy from given numbers: the gradient of the alphas.
Vector toy_gradient(Stores& stores, const nas::BilevelNetwork& network, const SecondOrder::Options& options,
                    double xi, const Vector& weights, const Vector& alphas, const Vector& momentum) {
  SecondOrder search(stores, network, options, {1}, {1}, {}, std::make_shared<autograd::Arena>());
  fill(stores.weights, weights);
  fill(stores.alphas, alphas);
  stores.optimizer.set("weights.lr", xi);
  stores.optimizer.set("alphas.lr", 0);
  std::copy(momentum.begin(), momentum.end(),
            stores.optimizer.view(stores.optimizer.find("weights.momentum")).as<double>());
  search.begin(kBatch, kBatch);
  EXPECT_EQ(values_of(stores.weights), weights);
  EXPECT_EQ(values_of(stores.alphas), alphas);
  return search.gradient();
}

// L_train = (w - a)^2 / 2, L_val = (w - c)^2 / 2: xi (w' - c) with w' = w - xi (w - a).
TEST(Bilevel, ScalarToy) {
  constexpr double kC = -0.75, kW = 2, kA = 0.5, kXi = 0.3;
  for (const HessianProduct form : kForms) {
    Stores stores(DType::kF64, 1);
    const auto network = [&](Graph& g, Stores& net, bool validation, int64_t) {
      const Value w = g.tensor(net.weights, "w", {1}), a = g.tensor(stores.alphas, "a", {1});
      return fed(g, half_square(g, autograd::sub(g, w, validation ? autograd::constant(g, {1}, kC) : a)));
    };
    const SecondOrder::Options options{.product = form, .weights = {.momentum = 0}};
    const Vector gradient = toy_gradient(stores, network, options, kXi, {kW}, {kA}, {0});
    const double unrolled = kW - kXi * (kW - kA);
    ASSERT_EQ(gradient.size(), 1U);
    EXPECT_NEAR(gradient[0], kXi * (unrolled - kC), 1e-12) << nas::hessian_product_name(form);
  }
}

// Where the validation loss is flat there is no direction, and no division by 0 either.
TEST(Bilevel, NothingFollowsFromAFlatValidationLoss) {
  for (const HessianProduct form : kForms) {
    Stores stores(DType::kF64, 1);
    const auto network = [&](Graph& g, Stores& net, bool validation, int64_t) {
      const Value w = g.tensor(net.weights, "w", {1}), a = g.tensor(stores.alphas, "a", {1});
      return fed(
          g, half_square(g, validation ? autograd::times(g, autograd::sub(g, w, w), 1) : autograd::sub(g, w, a)));
    };
    const Vector gradient =
        toy_gradient(stores, network, {.product = form, .weights = {.momentum = 0}}, 0.5, {2}, {1}, {0});
    EXPECT_EQ(gradient, Vector{0});
  }
}

// L_train = w' A w / 2 - w' B a, L_val = |w - c|^2 / 2 + |a|^2 / 2, A = [2 1; 1 3], B = [1 2 0; -1 0.5 1]:
// H = -B', so the gradient is a + xi B' (w' - c) with w' = w - xi (mu m + A w - B a + wd w).
TEST(Bilevel, QuadraticToyWithMomentumAndDecay) {
  constexpr double kXi = 0.1, kMu = 0.9, kDecay = 0.01;
  const double w[2] = {1, -2}, a[3] = {0.5, -1, 2}, m[2] = {0.3, -0.4}, c[2] = {-1, 0.5};
  const double big_a[2][2] = {{2, 1}, {1, 3}}, big_b[2][3] = {{1, 2, 0}, {-1, 0.5, 1}};
  double v[2];
  for (int i = 0; i < 2; ++i) {
    double g = 0;
    for (int j = 0; j < 2; ++j) g += big_a[i][j] * w[j];
    for (int j = 0; j < 3; ++j) g -= big_b[i][j] * a[j];
    v[i] = w[i] - kXi * (kMu * m[i] + g + kDecay * w[i]) - c[i];
  }
  for (const HessianProduct form : kForms) {
    Stores stores(DType::kF64, 1);
    const auto network = [&](Graph& g, Stores& net, bool validation, int64_t) {
      const Value weights = g.tensor(net.weights, "w", {2, 1}), alphas = g.tensor(stores.alphas, "a", {3, 1});
      if (validation)
        return fed(g, autograd::add(g, half_square(g, autograd::sub(g, weights, matrix(g, 2, {c[0], c[1]}))),
                                    half_square(g, alphas)));
      const Value aw = autograd::matmul(g, matrix(g, 2, {2, 1, 1, 3}), weights);
      const Value ba = autograd::matmul(g, matrix(g, 2, {1, 2, 0, -1, 0.5, 1}), alphas);
      const Value inside = autograd::sub(g, autograd::times(g, aw, 0.5), ba);
      return fed(g, autograd::reduce_sum(g, autograd::mul(g, weights, inside)));
    };
    const SecondOrder::Options options{.product = form, .weights = {.momentum = kMu, .weight_decay = kDecay}};
    const Vector gradient =
        toy_gradient(stores, network, options, kXi, {w[0], w[1]}, {a[0], a[1], a[2]}, {m[0], m[1]});
    ASSERT_EQ(gradient.size(), 3U);
    for (int k = 0; k < 3; ++k)
      EXPECT_NEAR(gradient[k], a[k] + kXi * (big_b[0][k] * v[0] + big_b[1][k] * v[1]), 1e-12)
          << nas::hessian_product_name(form) << ", alpha " << k;
  }
}

double norm(const Vector& v) {
  double sum = 0;
  for (const double x : v) sum += x * x;
  return std::sqrt(sum);
}
double distance(Vector a, const Vector& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] -= b[i];
  return norm(a);
}

/// The formula of the header on the host, moving the weights there and back.
Vector transcribed(Stores& stores, const nas::Batch& valid, const nas::Batch& train, const Vector& momentum,
                   double xi, double mu, double decay, double radius) {
  TinyGradient by_weights(stores, false, train.size), by_alphas(stores, true, train.size);
  const Vector w = values_of(stores.weights);
  const auto at = [&](double factor, const Vector& direction) {
    Vector moved = w;
    for (size_t i = 0; i < w.size(); ++i) moved[i] += factor * direction[i];
    fill(stores.weights, moved);
  };
  Vector step = by_weights(train);
  for (size_t i = 0; i < w.size(); ++i) step[i] += mu * momentum[i] + decay * w[i];
  at(-xi, step);
  TinyGradient valid_weights(stores, false, valid.size), valid_alphas(stores, true, valid.size);
  Vector gradient = valid_alphas(valid);
  const Vector v = valid_weights(valid);
  const double r = radius / norm(v);
  at(r, v);
  const Vector above = by_alphas(train);
  at(-r, v);
  const Vector below = by_alphas(train);
  for (size_t i = 0; i < gradient.size(); ++i) gradient[i] -= xi * (above[i] - below[i]) / (2 * r);
  fill(stores.weights, w);
  return gradient;
}

/// A tiny supernet with a momentum buffer, in a state of its own.
struct Supernet {
  Stores stores{DType::kF64, 3};
  SecondOrder search;
  Vector momentum;
  explicit Supernet(HessianProduct form, autograd::CompileOptions compile = {})
      : search(stores, tiny_network(stores), {.product = form, .weights = {.momentum = 0.9, .weight_decay = 3e-4}},
               {4}, {3}, compile, std::make_shared<autograd::Arena>()) {
    for (TensorStore* s : stores.all()) s->bind();
    stores.optimizer.set("weights.lr", 0.05);
    stores.optimizer.set("alphas.lr", 0);
    const kernels::View m = stores.optimizer.view(stores.optimizer.find("weights.momentum"));
    for (int64_t i = 0; i < m.last(); ++i)
      m.as<double>()[i] = 0.01 * kernels::normal(5, 1, static_cast<uint64_t>(i));
    momentum.assign(m.as<double>(), m.as<double>() + m.last());
  }
};

TEST(Bilevel, SupernetAgreesWithTheFormula) {
  const TinyImages train(4, 1), valid(3, 2);
  Supernet net(HessianProduct::kFiniteDifference);
  const Vector weights = values_of(net.stores.weights), alphas = values_of(net.stores.alphas);
  const nas::Score score = net.search.begin(valid.batch(), train.batch()).get();
  EXPECT_EQ(score.images, 3);
  EXPECT_GT(score.mean_loss(), 0.1);
  EXPECT_EQ(values_of(net.stores.weights), weights) << "w is written";
  const Vector gradient = net.search.gradient();
  const Vector want = transcribed(net.stores, valid.batch(), train.batch(), net.momentum, 0.05, 0.9, 3e-4, 0.01);
  EXPECT_LT(distance(gradient, want), 1e-8 * norm(want));
  // It is not that of first order.
  net.stores.optimizer.set("weights.lr", 0);
  net.search.begin(valid.batch(), train.batch());
  EXPECT_GT(distance(net.search.gradient(), gradient), 0.01 * norm(gradient));
}

TEST(Bilevel, ExactProductIsTheLimitOfDifferences) {
  const TinyImages train(4, 1), valid(3, 2);
  Supernet exact(HessianProduct::kExact);
  exact.search.begin(valid.batch(), train.batch());
  const Vector gradient = exact.search.gradient();
  const Vector limit =
      transcribed(exact.stores, valid.batch(), train.batch(), exact.momentum, 0.05, 0.9, 3e-4, 1e-5);
  EXPECT_LT(distance(gradient, limit), 1e-6 * norm(limit));
}

TEST(Bilevel, FusedAndUnfusedAgree) {
  const TinyImages train(4, 1), valid(3, 2);
  for (const HessianProduct form : kForms) {
    Supernet fused(form), plain(form, {.fuse = false});
    fused.search.begin(valid.batch(), train.batch());
    plain.search.begin(valid.batch(), train.batch());
    EXPECT_LT(distance(fused.search.gradient(), plain.search.gradient()), 1e-9 * norm(plain.search.gradient()))
        << nas::hessian_product_name(form);
  }
}

TEST(Bilevel, OnlyThePassAtTheWeightsMovesRunningStatistics) {
  const TinyImages train(4, 1), valid(3, 2);
  Vector states[2];
  for (const HessianProduct form : kForms) {
    Supernet net(form);
    net.search.begin(valid.batch(), train.batch());
    states[form == HessianProduct::kExact] = values_of(net.stores.state);
  }
  EXPECT_EQ(states[0], states[1]);
  Supernet once(HessianProduct::kExact);
  TinyGradient pass(once.stores, false, 4);
  pass(train.batch());
  const Vector want = values_of(once.stores.state);
  EXPECT_LT(distance(states[0], want), 1e-12 * norm(want));
}

}  // namespace
}  // namespace mixop::test
