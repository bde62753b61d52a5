// The straight-through draw: one-hot forward, the gradient of the relaxation backward.
#include <gtest/gtest.h>

#include <cmath>

#include "autograd/ops/gumbel_softmax.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Value;
using kernels::Shape;

constexpr int kRows = 5, kColumns = 4;

/// The table and its gradient for a fixed upstream gradient, row by row.
struct Draw {
  std::vector<double> alphas, noise, upstream, table, gradient;
  explicit Draw(bool hard, double temperature) {
    Graph g(kernels::DType::kF64);
    const Shape shape{kRows, kColumns};
    const Value a = g.input("alphas", shape), n = g.input("noise", shape), t = g.input("temperature", {1});
    const Value y = autograd::gumbel_softmax(g, a, n, t, hard);
    const Value da = autograd::vector_jacobian(g, {y}, {g.input("upstream", shape)}, {a})[0];
    autograd::Plan plan(g, {y, da});
    uint64_t stream = 0;
    for (const auto& [name, to] : {std::pair{"alphas", &alphas}, {"noise", &noise}, {"upstream", &upstream}}) {
      for (uint64_t i = 0; i < kRows * kColumns; ++i) to->push_back(kernels::normal(7, stream, i));
      std::copy(to->begin(), to->end(), plan.input(name).as<double>());
      ++stream;
    }
    *plan.input("temperature").as<double>() = temperature;
    plan.run();
    const double *values = plan.output(y).as<double>(), *slopes = plan.output(da).as<double>();
    table.assign(values, values + kRows * kColumns);
    gradient.assign(slopes, slopes + kRows * kColumns);
  }
};

TEST(GumbelSoftmax, HardIsOneHotAtTheLargestSumWithTheGradientOfTheSoftForm) {
  for (const double temperature : {10.0, 1.0, 0.1}) {
    const Draw soft(false, temperature), hard(true, temperature);
    EXPECT_EQ(soft.gradient, hard.gradient) << "temperature " << temperature;
    for (int row = 0; row < kRows; ++row) {
      int best = 0;
      const auto sum = [&](int k) { return hard.alphas[row * kColumns + k] + hard.noise[row * kColumns + k]; };
      for (int k = 1; k < kColumns; ++k)
        if (sum(k) > sum(best)) best = k;
      for (int k = 0; k < kColumns; ++k) EXPECT_EQ(hard.table[row * kColumns + k], k == best ? 1 : 0) << row;
    }
  }
}

TEST(GumbelSoftmax, IsWhatItsDefinitionSays) {
  const double temperature = 0.7;
  const Draw draw(false, temperature);
  for (int row = 0; row < kRows; ++row) {
    double sum = 0, product = 0;
    std::vector<double> p(kColumns);
    for (int k = 0; k < kColumns; ++k)
      sum += p[k] = std::exp((draw.alphas[row * kColumns + k] + draw.noise[row * kColumns + k]) / temperature);
    for (int k = 0; k < kColumns; ++k) product += (p[k] /= sum) * draw.upstream[row * kColumns + k];
    double total = 0;
    for (int k = 0; k < kColumns; ++k) {
      const int i = row * kColumns + k;
      EXPECT_NEAR(draw.table[i], p[k], 1e-14);
      EXPECT_NEAR(draw.gradient[i], p[k] * (draw.upstream[i] - product) / temperature, 1e-13);
      total += draw.gradient[i];
    }
    EXPECT_NEAR(total, 0, 1e-14);
  }
}

TEST(GumbelSoftmax, SmallTemperaturesDoNotOverflow) {
  const Draw draw(false, 1e-3);
  for (const double v : draw.table) EXPECT_TRUE(std::isfinite(v));
  for (const double v : draw.gradient) EXPECT_TRUE(std::isfinite(v));
}

TEST(GumbelSoftmax, RefusesOtherShapes) {
  Graph g;
  const Value a = g.input("a", {2, 3}), n = g.input("n", {3, 2}), t = g.input("t", {1});
  EXPECT_THROW(autograd::gumbel_softmax(g, a, n, t), Error);
  EXPECT_THROW(autograd::gumbel_softmax(g, a, a, a), Error);
  EXPECT_THROW(autograd::gumbel_softmax(g, t, t, t), Error);
}

}  // namespace
}  // namespace mixop::test
