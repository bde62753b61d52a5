// The cells of ENAS: text, loose ends, and the sizes of its networks.
#include <gtest/gtest.h>

#include "kernels/core/check.h"
#include "nas/network.h"
#include "nas/sharing/enas_micro.h"

namespace mixop::nas {
namespace {

using kernels::Shape;

const EnasMicroSpace kSpace;

Arch published() { return kSpace.parse(EnasMicroSpace::kPublished); }

/// Parameters by the first two parts of their names ("layers.3"), and the outputs of the layers.
struct Built {
  std::map<std::string, int64_t> parameters;
  std::vector<Shape> layers;
};

template <class Build>
Built build(const Build& add) {
  Stores stores(kernels::DType::kF32, 0);
  Graph g;
  const NetworkOutputs out = add(g, g.input("images", {1, 32, 32, 3}), stores);
  Built built;
  for (const auto& e : stores.weights.entries()) {
    const size_t dot = e.name.rfind("layers.", 0) == 0 ? e.name.find('.', 7) : e.name.find('.');
    built.parameters[e.name.substr(0, dot)] += e.shape.elements();
  }
  for (const Value v : out.cells) built.layers.push_back(g.shape(v));
  return built;
}

TEST(EnasMicro, SearchChildHasThePublishedSize) {
  const EnasMicroOptions o;
  const NetworkSize size = measure_network(
      [&](Graph& g, Value x, Stores& s, bool training) { return build_enas_micro_child(g, x, s, o, training); }, 32,
      32, 3);
  EXPECT_EQ(size.parameters, 5373140);
  EXPECT_EQ(size.auxiliary_parameters, 412928);
  const Built built = build([&](Graph& g, Value x, Stores& s) { return build_enas_micro_child(g, x, s, o, true); });
  const std::vector<int64_t> layers = {130120, 128880, 390640, 388880, 388880, 1318880, 1312160, 1312160};
  for (size_t l = 0; l < layers.size(); ++l)
    EXPECT_EQ(built.parameters.at("layers." + std::to_string(l)), layers[l]) << l;
  ASSERT_EQ(built.layers.size(), 8u);
  for (size_t l = 0; l < 8; ++l)
    EXPECT_EQ(built.layers[l], l < 2   ? (Shape{1, 32, 32, 20})
                               : l < 5 ? (Shape{1, 16, 16, 40})
                                       : (Shape{1, 8, 8, 80}))
        << l;
}

TEST(EnasMicro, FinalNetworkHasThePublishedSize) {
  const EnasMicroOptions o = EnasMicroOptions::final_network();
  const NetworkBuilder add = [&](Graph& g, Value x, Stores& s, bool training) {
    return build_enas_micro_network(g, x, s, o, published(), training);
  };
  const NetworkSize size = measure_network(add, 32, 32, 3);
  EXPECT_EQ(size.parameters, 3894372);
  EXPECT_EQ(size.auxiliary_parameters, 494848);
  EXPECT_NEAR(size.macs / 1e6, 620.9, 0.05);
  const Built built = build([&](Graph& g, Value x, Stores& s) { return add(g, x, s, true); });
  ASSERT_EQ(built.layers.size(), 17u);
  for (size_t l = 0; l < 17; ++l)
    EXPECT_EQ(built.layers[l], l < 5     ? (Shape{1, 32, 32, 180})
                               : l == 5  ? (Shape{1, 16, 16, 288})
                               : l < 11  ? (Shape{1, 16, 16, 360})
                               : l == 11 ? (Shape{1, 8, 8, 576})
                                         : (Shape{1, 8, 8, 720}))
        << l;
}

TEST(EnasMicro, TextGivesTheSameNumbersBack) {
  const Arch arch = published();
  ASSERT_EQ(arch.size(), 40u);
  EXPECT_EQ(kSpace.format(arch), EnasMicroSpace::kPublished);
  EXPECT_EQ(kSpace.parse("  " + kSpace.format(arch) + " \n"), arch);
  EXPECT_NEAR(std::sqrt(kSpace.count()), 5.06e12, 5e9);
}

void expect_refusal(const std::string& text, const std::string& words) {
  try {
    kSpace.parse(text);
    FAIL() << "accepted: " << text;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos);
  }
}

TEST(EnasMicro, BadTextIsRefused) {
  const std::string good = EnasMicroSpace::kPublished;
  expect_refusal(good.substr(0, good.size() - 2), "has 39 numbers, not 40");
  expect_refusal(good + " 0", "has 41 numbers");
  expect_refusal("0 x", "expected a number at character 2");
  expect_refusal("0,1", "expected a blank at character 1");
  Arch arch = published();
  arch[4] = 3;
  expect_refusal(kSpace.format(arch), "input 1 of node 1 of the normal cell is 3, not 0 to 2");
  arch = published();
  arch[23] = 5;
  expect_refusal(kSpace.format(arch), "operation 2 of node 0 of the reduce cell is 5, not 0 to 4");
}

TEST(EnasMicro, LooseEndsAreTheStatesThatNoNodeReads) {
  using Loose = std::array<bool, 7>;
  EXPECT_EQ(EnasMicroSpace::loose_ends(published(), 0), (Loose{false, false, true, true, true, true, true}));
  EXPECT_EQ(EnasMicroSpace::loose_ends(published(), 1), (Loose{false, false, true, false, true, true, true}));
  Arch chain;  // node n reads state n + 1 twice
  for (int cell = 0; cell < 2; ++cell)
    for (int n = 0; n < 5; ++n) chain.insert(chain.end(), {n + 1, 4, n + 1, 4});
  EXPECT_EQ(EnasMicroSpace::loose_ends(chain, 0), (Loose{true, false, false, false, false, false, true}));
}

TEST(EnasMicro, ChoicesNameCandidatesAndLooseEnds) {
  const std::vector<int32_t> values = enas_micro_choices(published());
  ASSERT_EQ(values.size(), 34u);
  EXPECT_EQ((std::vector<int32_t>{values.begin(), values.begin() + 4}), (std::vector<int32_t>{2, 0, 4, 1}));
  EXPECT_EQ((std::vector<int32_t>{values.begin() + 10, values.begin() + 17}),
            (std::vector<int32_t>{0, 0, 1, 1, 1, 1, 1}));
  EXPECT_EQ(values[17 + 4], 1 * 5 + 1);  // reduction cell, node 2, first: sep 5x5 of state 1
}

TEST(EnasMicro, ImpossibleSizesAreRefused) {
  EnasMicroOptions o;
  o.channels = 5;
  EXPECT_THROW(o.check(), Error);
  o.channels = 4;
  o.height = 30;
  EXPECT_THROW(o.check(), Error);
}

}  // namespace
}  // namespace mixop::nas
