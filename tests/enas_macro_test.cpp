// The whole networks of ENAS: text and the sizes of the networks.
#include <gtest/gtest.h>

#include "kernels/core/check.h"
#include "nas/network.h"
#include "nas/sharing/enas_macro.h"

namespace mixop::nas {
namespace {

Arch published() { return EnasMacroSpace(24).parse(EnasMacroSpace::kPublished); }

NetworkSize measure_child(int layers) {
  EnasMacroOptions o;
  o.layers = layers;
  return measure_network(
      [&](Graph& g, Value x, Stores& s, bool training) { return build_enas_macro_child(g, x, s, o, training); }, 32,
      32, 3);
}

NetworkSize measure_final(const EnasMacroOptions& o, const Arch& arch) {
  return measure_network([&](Graph& g, Value x, Stores& s,
                             bool training) { return build_enas_macro_network(g, x, s, o, arch, training); },
                         32, 32, 3);
}

TEST(EnasMacro, SearchChildrenHaveThePublishedSizes) {
  EXPECT_EQ(measure_child(14).parameters, 810756);
  EXPECT_EQ(measure_child(12).parameters, 697860);
}

TEST(EnasMacro, FinalNetworkHasThePublishedSize) {
  EnasMacroOptions o = EnasMacroOptions::final_network();
  const NetworkSize size = measure_final(o, published());
  EXPECT_EQ(size.parameters, 42559392);
  EXPECT_NEAR(size.macs / 1e9, 5.65, 0.005);
  o.separable = true;
  EXPECT_LT(measure_final(o, published()).parameters, size.parameters);
}

TEST(EnasMacro, FinalNetworksDoubleTheirChannels) {
  Stores stores(kernels::DType::kF32, 0);
  Graph g;
  const NetworkOutputs out = build_enas_macro_network(g, g.input("images", {1, 32, 32, 3}), stores,
                                                      EnasMacroOptions::final_network(), published(), true);
  ASSERT_EQ(out.cells.size(), 24u);
  for (size_t l = 0; l < 24; ++l)
    EXPECT_EQ(g.shape(out.cells[l]), l < 8    ? (kernels::Shape{1, 32, 32, 96})
                                     : l < 16 ? (kernels::Shape{1, 16, 16, 192})
                                              : (kernels::Shape{1, 8, 8, 384}))
        << l;
}

TEST(EnasMacro, TextGivesTheSameNumbersBack) {
  const EnasMacroSpace space(24);
  const Arch arch = published();
  ASSERT_EQ(arch.size(), 300u);
  EXPECT_EQ(space.format(arch), EnasMacroSpace::kPublished);
  EXPECT_NEAR(EnasMacroSpace().count() / 1e29, 1.6, 0.05);
  EXPECT_EQ(EnasMacroSpace::op(arch, 4), 2);  // fifth line of the script: 2 0 0 0 0
  EXPECT_EQ(EnasMacroSpace::op(arch, 5), 3);  // sixth: 3 1 1 0 1 0
  EXPECT_TRUE(EnasMacroSpace::skips(arch, 5, 3));
  EXPECT_FALSE(EnasMacroSpace::skips(arch, 5, 4));
}

void expect_fault(Arch arch, size_t at, int32_t value, const std::string& words) {
  arch[at] = value;
  const auto fault = EnasMacroSpace(24).find_fault(arch);
  ASSERT_TRUE(fault);
  EXPECT_NE(fault->find(words), std::string::npos) << *fault;
}

TEST(EnasMacro, FaultsNameTheirPlace) {
  expect_fault(published(), 1, 6, "operation of layer 1 is 6, not 0 to 5");
  expect_fault(published(), 5, 2, "skip 1 of layer 2 is 2, not 0 or 1");
  EXPECT_NE(EnasMacroSpace().find_fault(published())->find("has 300 numbers, not 78"), std::string::npos);
  EXPECT_THROW(EnasMacroSpace(2), Error);
}

TEST(EnasMacro, ImpossibleSizesAreRefused) {
  EnasMacroOptions o;
  o.width = 30;
  EXPECT_THROW(o.check(), Error);
  o = {};
  o.channels = 7;
  EXPECT_THROW(o.check(), Error);
  EXPECT_THROW(measure_final({}, published()), Error);  // another number of layers
}

}  // namespace
}  // namespace mixop::nas
