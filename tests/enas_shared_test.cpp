// One architecture out of a plan for all: the same bits as the network of that architecture alone.
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/optimizer.h"
#include "autograd/plan.h"
#include "nas/network.h"
#include "nas/random.h"
#include "nas/search/enas.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/sharing/nb201_mixed.h"
#include "nas/space/nb201.h"

namespace mixop::nas {
namespace {

constexpr int64_t kImages = 2;

/// Loss and weight gradients of one step.
struct Outcome {
  double loss = 0;
  std::map<std::string, std::vector<float>> gradients;  // by weight
};

/// A network with its loss, compiled once. Initial values depend on the names of the weights only.
class Program {
 public:
  Program(const NetworkBuilder& build, int64_t size, autograd::CompileOptions compile)
      : stores_(kernels::DType::kF32, 3) {
    Graph g;
    const Value images = g.input("images", {kImages, size, size, 3});
    const Value labels = g.input("labels", {kImages}, kernels::DType::kI32);
    const NetworkOutputs net = build(g, images, stores_, true);
    const auto cross_entropy = [&](Value logits) {
      return autograd::cross_entropy(g, logits, labels, 0, kernels::Reduction::kMean);
    };
    loss_ = cross_entropy(net.logits);
    if (net.auxiliary)
      loss_ =
          autograd::add(g, loss_, autograd::mul(g, cross_entropy(net.auxiliary), autograd::constant(g, {1}, 0.4)));
    gradient_ = autograd::sgd(g, loss_, stores_.weights, stores_.optimizer, {}).gradient;
    plan_ = std::make_unique<autograd::Plan>(g, std::vector<Value>{loss_, gradient_}, nullptr, compile);
    for (TensorStore* store : stores_.all()) store->bind();
    Random pixels(7);
    for (float& x : std::span(plan_->input("images").as<float>(), static_cast<size_t>(kImages * size * size * 3)))
      x = static_cast<float>(pixels.normal());
    for (int64_t n = 0; n < kImages; ++n) plan_->input("labels").as<int32_t>()[n] = static_cast<int32_t>(n);
  }

  Outcome run(const std::vector<int32_t>& choices) {
    if (!choices.empty()) plan_->choose(choices);
    plan_->run();
    Outcome outcome{plan_->scalar(loss_), {}};
    const float* all = plan_->output(gradient_).as<float>();
    for (const auto& e : stores_.weights.entries())
      outcome.gradients[e.name].assign(all + e.offset, all + e.offset + e.shape.elements());
    return outcome;
  }

 private:
  Stores stores_;
  Value loss_, gradient_;
  std::unique_ptr<autograd::Plan> plan_;
};

/// By how much two gradients may differ, as a share of the larger norm.
void expect_close(const std::vector<float>& a, const std::vector<float>& b, double share, const std::string& name) {
  ASSERT_EQ(a.size(), b.size()) << name;
  if (share == 0) {
    EXPECT_EQ(std::memcmp(a.data(), b.data(), a.size() * sizeof(float)), 0) << name;
    return;
  }
  double difference = 0, norm = 0;
  for (size_t i = 0; i < a.size(); ++i) {
    difference += std::pow(double{a[i]} - double{b[i]}, 2);
    norm += std::pow(double{a[i]}, 2);
  }
  EXPECT_LE(std::sqrt(difference), share * std::sqrt(norm) + 1e-6) << name;
}

/// Of weights that the architecture does not use the gradient is zero.
void expect_same(const Outcome& sampled, const Outcome& alone, double share) {
  if (share == 0) EXPECT_EQ(sampled.loss, alone.loss);
  else EXPECT_NEAR(sampled.loss, alone.loss, share);
  size_t used = 0;
  for (const auto& entry : sampled.gradients) {
    const auto own = alone.gradients.find(entry.first);
    if (own != alone.gradients.end()) {
      ++used;
      expect_close(entry.second, own->second, share, entry.first);
    } else {
      EXPECT_EQ(entry.second, std::vector<float>(entry.second.size())) << entry.first;
    }
  }
  EXPECT_EQ(used, alone.gradients.size());
}

/// How plans are compiled, and by how much results may differ: fused nodes differ, since alone more can be joined.
struct Way {
  autograd::CompileOptions compile;
  double share;
};
const Way kWays[] = {{{.mode = autograd::CompileOptions::Mode::kPinned, .fuse = false}, 0},
                     {{.fuse = false}, 0},
                     {{.mode = autograd::CompileOptions::Mode::kPinned}, 1e-3}};

struct Micro {
  EnasMicroOptions options{.layers = 1, .channels = 4, .height = 24, .width = 24};
  EnasMicroSpace space;
  NetworkBuilder shared = [this](Graph& g, Value x, Stores& s, bool training) {
    return build_enas_micro_child(g, x, s, options, training);
  };
  NetworkBuilder alone(const Arch& arch) {
    return [this, arch](Graph& g, Value x, Stores& s, bool training) {
      return build_enas_micro_child(g, x, s, options, arch, training);
    };
  }
};

TEST(EnasShared, MicroArchitecturesEqualTheirOwnNetworks) {
  Micro micro;
  for (const Way& way : kWays) {
    Program shared(micro.shared, 24, way.compile);
    Random random(11);
    for (int i = 0; i < 2; ++i) {
      const Arch arch = i ? micro.space.sample(random) : micro.space.parse(EnasMicroSpace::kPublished);
      SCOPED_TRACE(micro.space.format(arch));
      expect_same(shared.run(enas_micro_choices(arch)), Program(micro.alone(arch), 24, way.compile).run({}),
                  way.share);
    }
  }
}

TEST(EnasShared, MacroArchitecturesEqualTheirOwnNetworks) {
  const EnasMacroOptions options{.layers = 6, .channels = 4, .height = 8, .width = 8};
  const EnasMacroSpace space(options.layers);
  for (const Way& way : kWays) {
    Program shared(
        [&](Graph& g, Value x, Stores& s, bool t) { return build_enas_macro_child(g, x, s, options, t); }, 8,
        way.compile);
    Random random(12);
    for (int i = 0; i < 2; ++i) {
      const Arch arch = space.sample(random);
      SCOPED_TRACE(space.format(arch));
      Program alone(
          [&](Graph& g, Value x, Stores& s, bool t) { return build_enas_macro_child(g, x, s, options, arch, t); },
          8, way.compile);
      expect_same(shared.run(arch), alone.run({}), way.share);
    }
  }
}

TEST(EnasShared, EdgesEqualTheirOwnNetworks) {
  const NetworkScale scale{.channels = 4, .cells = 1, .height = 8, .width = 8};
  const SharedNetwork network = shared_network(nb201_mixed_space({.scale = scale, .affine = true}));
  EXPECT_EQ(network.height * network.width * network.image_channels, 8 * 8 * 3);
  const Nb201Space space;
  for (const Way& way : kWays) {
    Program shared(network.build, 8, way.compile);
    Random random(13);
    for (int i = 0; i < 3; ++i) {
      const Arch arch = i ? space.sample(random) : space.parse("310324");
      SCOPED_TRACE(space.format(arch));
      Program alone([&](Graph& g, Value x, Stores& s, bool t) { return space.build(g, x, s, arch, scale, t); }, 8,
                    way.compile);
      expect_same(shared.run(network.choices(arch)), alone.run({}), way.share);
    }
  }
}

}  // namespace
}  // namespace mixop::nas
