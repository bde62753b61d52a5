// What must hold of the network of any architecture.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "autograd/ops/cross_entropy.h"
#include "autograd/optimizer.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "nas/space/space.h"
#include "nas/supernet.h"
#include "tests/support/numbers.h"

namespace mixop::test {

/// The network with its loss on one synthetic batch, in training; `batch` images of random numbers, class i % 3.
struct SmallNetwork {
  nas::Stores stores;
  autograd::Graph g;
  nas::NetworkOutputs net;
  autograd::Value loss, gradient, step;
  autograd::Plan plan;

  static nas::NetworkScale scale(int64_t size) {
    return {.classes = 3, .height = size, .width = size, .image_channels = 2};
  }
  SmallNetwork(const nas::Space& space, const nas::Arch& arch, int64_t size, kernels::DType real,
               bool training = true, int64_t batch = 6)
      : stores(real, 5), g(real), plan(compile(space, arch, scale(size), batch, training)) {
    for (nas::TensorStore* store : stores.all()) store->bind();
    set_numbers(plan.input("images"), [](int64_t i) { return kernels::normal(3, 1, static_cast<uint64_t>(i)); });
    for (int64_t i = 0; i < batch; ++i) plan.input("labels").as<int32_t>()[i] = static_cast<int32_t>(i % 3);
  }
  double run() {
    plan.run();
    return plan.scalar(loss);
  }
  std::vector<double> logits() {
    plan.run();
    return numbers_of(plan.output(net.logits));
  }

 private:
  autograd::Plan compile(const nas::Space& space, const nas::Arch& arch, const nas::NetworkScale& s, int64_t batch,
                         bool training) {
    space.validate(arch);
    const autograd::Value images = g.input("images", {batch, s.height, s.width, s.image_channels});
    const autograd::Value labels = g.input("labels", {batch}, kernels::DType::kI32);
    net = space.build(g, images, stores, arch, s, training);
    EXPECT_EQ(g.shape(net.logits), (kernels::Shape{batch, s.classes}));
    loss = autograd::cross_entropy(g, net.logits, labels);
    std::vector<autograd::Value> asked = {loss, net.logits};
    if (training && g.real() == kernels::DType::kF64) {
      gradient = autograd::sgd(g, loss, stores.weights, stores.optimizer, {}).gradient;
      asked.push_back(gradient);
    } else if (training) {
      asked.push_back(autograd::sgd(g, loss, stores.weights, stores.optimizer, {}).step);
    }
    return autograd::Plan(g, asked);
  }
};

/// Adds the network to a graph, without a plan: no shape is wrong.
inline void build_only(const nas::Space& space, const nas::Arch& arch, int64_t size) {
  nas::Stores stores(kernels::DType::kF32, 0);
  autograd::Graph g;
  const nas::NetworkScale s = SmallNetwork::scale(size);
  const autograd::Value images = g.input("images", {2, size, size, s.image_channels});
  EXPECT_EQ(g.shape(space.build(g, images, stores, arch, s, true).logits), (kernels::Shape{2, s.classes}));
}

/// The gradient of all weights against central differences in float64 along random directions; and SGD lowers the
/// loss of one batch; and evaluation builds.
inline void check_network(const nas::Space& space, const nas::Arch& arch, int64_t size) {
  const std::string what = space.format(arch);
  SmallNetwork exact(space, arch, size, kernels::DType::kF64);
  exact.run();
  const std::vector<double> gradient = numbers_of(exact.plan.output(exact.gradient));
  const kernels::View weights = exact.stores.weights.flat();
  const std::vector<double> start = numbers_of(weights);
  for (uint64_t direction = 0; direction < 3; ++direction) {
    const auto along = [&](size_t i) { return kernels::normal(11, direction, i); };
    double analytic = 0, loss[2];
    for (size_t i = 0; i < start.size(); ++i) analytic += gradient[i] * along(i);
    const double step = 1e-6 / std::sqrt(static_cast<double>(start.size()));  // short: relus have kinks
    for (const int side : {0, 1}) {
      for (size_t i = 0; i < start.size(); ++i)
        weights.as<double>()[i] = start[i] + (side ? step : -step) * along(i);
      loss[side] = exact.run();
    }
    const double numeric = (loss[1] - loss[0]) / (2 * step);
    EXPECT_NEAR(analytic, numeric, 1e-6 + 1e-5 * std::abs(numeric)) << what;
    EXPECT_NE(analytic, 0) << what;
  }

  SmallNetwork trained(space, arch, size, kernels::DType::kF32);
  trained.stores.optimizer.set("weights.lr", 0.01);
  const double before = trained.run();
  double after = before;
  for (int i = 0; i < 120; ++i) after = trained.run();
  EXPECT_LT(after, 0.8 * before) << what;

  SmallNetwork evaluated(space, arch, size, kernels::DType::kF32, false);
  EXPECT_TRUE(std::isfinite(evaluated.run())) << what;
}

}  // namespace mixop::test
