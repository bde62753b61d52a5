// On a CUDA device, real or emulated: ops that write into stores and so have no value that a case could compare,
// and augmentation with real draws. Suites are named after the stems, as in cuda_test.cpp, with which this is
// linked.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>

#include "autograd/ops/augment.h"
#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/optim.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/separable.h"
#include "autograd/plan.h"
#include "datasets/loader.h"
#include "datasets/synthetic.h"
#include "kernels/core/rng.h"
#include "tests/support/numbers.h"

namespace mixop::test {
namespace {

using autograd::CompileOptions;
using autograd::Graph;
using autograd::Init;
using autograd::Plan;
using autograd::TensorStore;
using autograd::Value;
using kernels::Device;
using kernels::DType;

bool no_device() { return kernels::cuda::devices().empty(); }

/// The node-by-node, captured and pinned ways to run on a device, which must agree bit for bit.
const CompileOptions kWays[] = {{.device = Device::kCuda, .graph = false},
                                {.device = Device::kCuda},
                                {.mode = CompileOptions::Mode::kPinned, .device = Device::kCuda}};

struct Operands {
  Value param, grad, first, second, step, lr, norm;
};
struct Rule {
  std::string name;
  std::function<Value(Graph&, const Operands&)> build;
};

std::vector<Rule> rules() {
  std::vector<Rule> all;
  for (const double clip : {0.0, 2.0}) {
    for (const bool decay : {false, true}) {
      const double weight_decay = decay ? 0.1 : 0;
      const auto add = [&](const char* name, std::function<Value(Graph&, const Operands&)> build) {
        all.push_back({std::string(name) + (clip > 0 ? "_clipped" : "") + (decay ? "_decayed" : ""), build});
      };
      const auto sgd = [&](const char* name, const kernels::SgdAttrs& attrs) {
        add(name, [attrs](Graph& g, const Operands& o) {
          return sgd_step(g, o.param, o.grad, attrs.momentum > 0 ? o.first : o.param, o.lr, o.norm, attrs);
        });
      };
      sgd("sgd", {.weight_decay = weight_decay, .clip = clip});
      sgd("momentum", {.momentum = 0.9, .weight_decay = weight_decay, .clip = clip, .dampening = 0.1});
      sgd("nesterov", {.momentum = 0.9, .weight_decay = weight_decay, .clip = clip, .nesterov = true});
      for (const bool decoupled : {false, true}) {
        const kernels::AdamAttrs attrs{.weight_decay = weight_decay, .clip = clip, .decoupled = decoupled};
        add(decoupled ? "adamw" : "adam", [attrs](Graph& g, const Operands& o) {
          return adam_step(g, o.param, o.grad, o.first, o.second, o.step, o.lr, o.norm, attrs);
        });
      }
      for (const double momentum : {0.0, 0.9}) {
        const kernels::RmspropAttrs attrs{.momentum = momentum, .weight_decay = weight_decay, .clip = clip};
        add(momentum > 0 ? "rmsprop_momentum" : "rmsprop", [attrs](Graph& g, const Operands& o) {
          return rmsprop_step(g, o.param, o.grad, o.second, o.first, o.lr, o.norm, attrs);
        });
      }
    }
  }
  return all;
}

/// What lies in the store after four steps with changing gradients and learning rates.
std::vector<double> after_steps(const Rule& rule, int64_t n, DType real, const CompileOptions& options) {
  TensorStore store("store", real, 7);
  Graph g(real);
  const Value grad = g.input("grad", {n});
  const auto tensor = [&](const char* name, int64_t elements, double value) {
    return g.tensor(store, name, {elements}, Init::constant(value));
  };
  const Operands o{.param = tensor("param", n, 1),
                   .grad = grad,
                   .first = tensor("first", n, 0.5),
                   .second = tensor("second", n, 0.25),
                   .step = tensor("step", 1, 0),
                   .lr = tensor("lr", 1, 0),
                   .norm = autograd::grad_norm(g, grad)};
  Plan plan(g, {rule.build(g, o)}, nullptr, options);
  for (int step = 0; step < 4; ++step) {
    store.set("lr", 0.125 / (step + 1));
    const kernels::View to = plan.input("grad");
    for (int64_t i = 0; i < n; ++i) {
      const auto value = static_cast<float>(kernels::normal(3, step, i));
      if (real == DType::kF64) to.as<double>()[i] = double{value};
      else to.as<float>()[i] = value;
    }
    plan.run();
  }
  const kernels::View all = store.flat();
  std::vector<double> values;
  for (int64_t i = 0; i < all.last(); ++i)
    values.push_back(real == DType::kF64 ? all.as<double>()[i] : double{all.as<float>()[i]});
  return values;
}

class OptimiserOnDevice : public testing::TestWithParam<Rule> {};

TEST_P(OptimiserOnDevice, StepsAgreeWithTheReference) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  std::vector<int64_t> sizes = {1, 7, 64, 1030, 4100};                // tensors that lie on 16 bytes and others
  if (GetParam().name == "momentum") sizes.push_back((1 << 20) + 7);  // several elements a thread
  for (const int64_t n : sizes) {
    const std::vector<double> want = after_steps(GetParam(), n, DType::kF64, {});
    std::vector<std::vector<double>> got;
    for (const CompileOptions& way : kWays) got.push_back(after_steps(GetParam(), n, DType::kF32, way));
    for (size_t i = 0; i < want.size(); ++i)
      ASSERT_NEAR(got[0][i], want[i], 1e-5 * (1 + std::abs(want[i]))) << "n " << n << ", element " << i;
    EXPECT_EQ(got[0], got[1]) << n;
    EXPECT_EQ(got[0], got[2]) << n;
  }
}
INSTANTIATE_TEST_SUITE_P(optim, OptimiserOnDevice, testing::ValuesIn(rules()),
                         [](const auto& info) { return info.param.name; });

class CounterOnDevice : public testing::TestWithParam<DType> {};

// Masks of successive steps, which the CPU draws too.
TEST_P(CounterOnDevice, AdvancesTheMasks) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  const auto masks = [](DType type, const CompileOptions& options) {
    TensorStore state("state", type);
    Graph g;
    const Value counter = g.tensor(state, "counter", {1});
    const Value mask = autograd::bernoulli(g, {50, 3}, 0.5, 1, 2, counter);
    Plan plan(g, {mask, autograd::advance(g, counter)}, nullptr, options);
    std::vector<std::vector<float>> drawn;
    for (int step = 0; step < 4; ++step) {
      plan.run();
      const float* y = plan.output(mask).as<float>();
      drawn.emplace_back(y, y + 150);
    }
    EXPECT_EQ(state.get("counter"), 4);
    return drawn;
  };
  const auto want = masks(DType::kF32, {});
  EXPECT_NE(want[0], want[1]);
  for (const CompileOptions& way : kWays) EXPECT_EQ(masks(GetParam(), way), want);
}
INSTANTIATE_TEST_SUITE_P(copy, CounterOnDevice, testing::Values(DType::kF32, DType::kF64, DType::kI32),
                         [](const auto& info) { return std::string(kernels::name_of(info.param)); });

/// What lies in a store after three rounds of x += v, written in rows of `last` elements.
std::vector<float> after_assignments(int64_t last, const CompileOptions& options) {
  TensorStore state("state", DType::kF32, 5);
  Graph g;
  const Value x = g.tensor(state, "x", {7, last}, Init::normal(1));
  const Value v = g.tensor(state, "v", {7, last}, Init::normal(1));
  Plan plan(g, {autograd::assign(g, x, autograd::add(g, x, v))}, nullptr, options);
  for (int round = 0; round < 3; ++round) plan.run();
  const kernels::View all = state.flat();
  return {all.as<float>(), all.as<float>() + all.last()};
}

class AssignOnDevice : public testing::TestWithParam<int64_t> {};

TEST_P(AssignOnDevice, LeavesTheBitsOfTheCpu) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  const auto want = after_assignments(GetParam(), {});
  for (const CompileOptions& way : kWays) EXPECT_EQ(after_assignments(GetParam(), way), want);
}
INSTANTIATE_TEST_SUITE_P(copy, AssignOnDevice, testing::Values(1, 16, 17),
                         [](const auto& info) { return std::to_string(info.param); });

class AugmentOnDevice : public testing::TestWithParam<int> {};

TEST_P(AugmentOnDevice, GivesTheImagesOfTheLoaderBitForBit) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  constexpr int kImages = 20, kBatch = 8;
  const int side = GetParam();
  const datasets::Dataset data = datasets::synthetic(kImages, side, side, 3, 3, 1);
  datasets::Augment augment;
  augment.crop = augment.flip = true;
  augment.cutout = 6;
  augment.mean = {0.4914f, 0.4822f, 0.4465f};
  augment.std = {0.2023f, 0.1994f, 0.2010f};
  Graph g;
  const Value images = autograd::augment(g, g.input("pixels", {kImages, side, side, 3}, DType::kU8),
                                         g.input("draws", {kBatch, 8}, DType::kI32), g.input("table", {3, 256}));
  Plan plan(g, {images}, nullptr, {.device = Device::kCuda});
  const auto fill = [&plan](const char* name, const auto& from) {
    std::memcpy(plan.input(name).data, from.data(), from.size() * sizeof from[0]);
  };
  fill("pixels", data.pixels);
  fill("table", datasets::normalisation_table(augment, 3));
  std::vector<int64_t> indices;
  for (int64_t i = 0; i < kImages; ++i) indices.push_back(i);
  datasets::Loader plain(data, indices, kBatch, augment, datasets::Order::kRandomBatch, 3),
      draws(data, indices, kBatch, augment, datasets::Order::kRandomBatch, 3, 3, datasets::Content::kDraws);
  for (int step = 0; step < 5; ++step) {
    const datasets::Batch& want = plain.next();
    fill("draws", draws.next().draws);
    plan.run();
    ASSERT_EQ(0, std::memcmp(plan.output(images).data, want.images.data(), want.images.size() * 4)) << step;
  }
}
INSTANTIATE_TEST_SUITE_P(augment, AugmentOnDevice, testing::Values(9, 32));

/// Makes outputs of x whose norms move running statistics in the store.
using Moving = std::function<std::vector<Value>(Graph&, TensorStore&, Value x)>;

/// The running statistics after three steps; what the input "active" is told stays so in all of them.
std::vector<double> moved(const Moving& build, int64_t channels, DType real, const CompileOptions& options) {
  TensorStore state("state", real);
  Graph g(real);
  const Value x = g.input("x", {3, 5, 4, channels});
  Plan plan(g, build(g, state, x), nullptr, options);
  for (uint64_t step = 0; step < 3; ++step) {
    set_numbers(plan.input("x"), [&](int64_t i) { return 2 + kernels::normal(9, step, static_cast<uint64_t>(i)); });
    if (plan.has_input("active")) {
      const kernels::View active = plan.input("active");
      for (int64_t i = 0; i < active.last(); ++i) active.as<int32_t>()[i] = i % 4 != 3;
    }
    plan.run();
  }
  return numbers_of(state.flat());
}

void expect_moved_as_on_the_cpu(const Moving& build, int64_t channels) {
  const std::vector<double> want = moved(build, channels, DType::kF64, {}),
                            got = moved(build, channels, DType::kF32, kWays[0]);
  for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 4e-6 * (1 + std::abs(want[i]))) << i;
  for (const CompileOptions& way : kWays) EXPECT_EQ(moved(build, channels, DType::kF32, way), got);
}

class RunningStatisticsOnDevice : public testing::TestWithParam<int64_t> {};

TEST_P(RunningStatisticsOnDevice, MoveAsOnTheCpu) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  const int64_t channels = GetParam();
  // Two pairs follow the norm of x, two that of a pooling.
  const auto build = [=](Graph& g, TensorStore& state, Value x) -> std::vector<Value> {
    const auto tensor = [&](const char* name, double v) {
      return g.tensor(state, name, {channels}, Init::constant(v));
    };
    return {autograd::batch_norm(g, x,
                                 {.running_mean = tensor("mean", 0),
                                  .running_var = tensor("var", 1),
                                  .more_running = {{tensor("mean2", 3), tensor("var2", 2)}}}),
            autograd::batch_norm(g, autograd::max_pool(g, x, {}),
                                 {.running_mean = tensor("pooled_mean", 0),
                                  .running_var = tensor("pooled_var", 1),
                                  .more_running = {{tensor("pooled_mean2", 3), tensor("pooled_var2", 2)}}})};
  };
  expect_moved_as_on_the_cpu(build, channels);
}
INSTANTIATE_TEST_SUITE_P(batch_norm, RunningStatisticsOnDevice, testing::Values(1, 5, 16, 64));

class SeparableStatisticsOnDevice : public testing::TestWithParam<int64_t> {};

// Every unit's once a step, however many blocks a tile has; those of the units that are skipped never.
TEST_P(SeparableStatisticsOnDevice, MoveAsOnTheCpu) {
  if (no_device()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  const int64_t channels = GetParam();
  const auto build = [=](Graph& g, TensorStore& state, Value x) {
    kernels::SeparableAttrs attrs{{}, true, true};
    std::vector<Value> operands, wanted;
    for (int i = 0; i < 8; ++i) {
      const int64_t out = i % 2 ? 40 : 8;
      const bool depthwise = i / 2 % 2 == 1;
      const auto tensor = [&](const char* what, const kernels::Shape& shape, const Init& init) {
        operands.push_back(g.tensor(state, kernels::text(what, i), shape, init));
      };
      operands.push_back(x);
      if (depthwise) tensor("w_dw", {3, 3, 1, channels}, Init::constant(0.125));
      tensor("w_pw", {1, 1, channels, out}, Init::constant(0.25 + i));
      tensor("mean", {out}, Init::constant(3)), tensor("var", {out}, Init::constant(2));
      attrs.units.push_back({.window = depthwise ? kernels::Window{} : kernels::Window{1, 1 + i / 4, 0, 1},
                             .load = {},
                             .depthwise = depthwise,
                             .same_input = i > 0,
                             .running = true});
    }
    operands.push_back(g.input("active", {8}, DType::kI32));
    const std::vector<Value> all = g.add(autograd::kSeparable, operands, attrs);
    for (size_t i = 0; i < 8; ++i)
      if (i % 4 != 3) wanted.push_back(all[4 * i]);
    return wanted;
  };
  expect_moved_as_on_the_cpu(build, channels);
}
INSTANTIATE_TEST_SUITE_P(separable, SeparableStatisticsOnDevice, testing::Values(5, 16));

}  // namespace
}  // namespace mixop::test
