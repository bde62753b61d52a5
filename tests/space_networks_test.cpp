// The networks of architectures: parameters and multiply-adds as published, and a training step that learns.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "autograd/ops/cross_entropy.h"
#include "autograd/optimizer.h"
#include "autograd/plan.h"
#include "kernels/core/check.h"
#include "nas/genotypes_published.h"
#include "nas/network.h"
#include "nas/space/nb101_text.h"
#include "nas/space/spaces.h"
#include "tests/support/published_data.h"

namespace mixop::nas {
namespace {

NetworkSize size_of(const std::string& space, const std::string& text, const NetworkScale& scale) {
  const auto s = find_space(space);
  return measure_arch(*s, s->parse(text), scale);
}

const NetworkScale kNb101{.channels = 128, .cells = 3};

TEST(Nb101Network, PublishedParameters) {
  EXPECT_EQ(size_of("nb101", "100110100001001010101:02001", kNb101).parameters, 8555530);
  EXPECT_EQ(size_of("nb101", "100000100001000111101:11010", kNb101).parameters, 5878154);
}

TEST(Nb101Network, ParametersOfTheTable) {
  const auto file = test::published_file("nb101_sample.csv");
  if (!file) GTEST_SKIP() << "nb101_sample.csv is absent: set MIXOP_SHARED";
  const auto rows = test::read_csv(*file);
  for (size_t i = 0; i < rows.size(); i += 300) {
    const auto& row = rows[i];
    ASSERT_EQ(size_of("nb101", row.at("adj_upper") + ":" + row.at("ops"), kNb101).parameters,
              std::stoll(row.at("params")))
        << row.at("hash");
  }
}

TEST(Nb101Network, Channels) {
  // Edges 0>1, 0>2, 0>3, 1>5, 2>5, 3>4, 4>5: the output's 64 channels are 22 + 21 + 21 of vertices 1, 2 and 4.
  const Nb101Graph g = parse_nb101("111000001001101:0000");
  const auto channels = nb101_channels(g, 32, 64);
  EXPECT_EQ(std::vector<int64_t>(channels.begin(), channels.begin() + 6),
            (std::vector<int64_t>{32, 22, 21, 21, 21, 64}));
}

const NetworkScale kMacro{.channels = 32};

TEST(MacroNetwork, PublishedSizes) {
  struct Row {
    const char* arch;
    int64_t parameters;
    double macs;
  };
  for (const Row& row : {Row{"00000000", 387882, 7713280},
                         {"00000001", 791594, 14115328},
                         {"22212220", 1985514, 85.16e6},
                         {"22222222", 2932586, 105.66e6}}) {
    const NetworkSize size = size_of("nbmacro", row.arch, kMacro);
    EXPECT_EQ(size.parameters, row.parameters) << row.arch;
    EXPECT_NEAR(size.macs, row.macs, 5e3) << row.arch;
  }
}

TEST(MacroNetwork, SizesOfTheTable) {
  const auto file = test::published_file("nbmacro.csv");
  if (!file) GTEST_SKIP() << "nbmacro.csv is absent: set MIXOP_SHARED";
  const auto rows = test::read_csv(*file);
  for (size_t i = 0; i < rows.size(); i += 16) {
    const NetworkSize size = size_of("nbmacro", rows[i].at("arch"), kMacro);
    ASSERT_EQ(size.parameters, std::stoll(rows[i].at("params"))) << rows[i].at("arch");
    ASSERT_EQ(size.macs, std::stod(rows[i].at("flops"))) << rows[i].at("arch");
  }
}

TEST(DartsNetwork, IsTheNetworkOfTheGenotype) {
  // 20 cells are three times six normal ones and two reductions.
  EXPECT_EQ(size_of("darts", "DARTS_V2", {.channels = 36, .cells = 6}).parameters, 3349342);
}

TEST(NasnetNetwork, IsThatOfTheGenotypeWhereBothCanSayIt) {
  // NASNet-A as the DARTS code lists it: the output is of the states that no block reads.
  const Genotype genotype = load_genotype("NASNet");
  std::string text;
  for (const CellKind kind : {CellKind::normal, CellKind::reduce}) {
    text += (text.empty() ? "" : " ") + std::string(cell_kind_name(kind));
    const auto& edges = genotype.cell(kind).edges;
    for (size_t e = 0; e < edges.size(); ++e) {
      const std::string op(edges[e].op == CellOp::skip_connect ? "identity" : op_name(edges[e].op));
      text += kernels::text(e % 2 ? "+" : " ", op, "(", edges[e].input, ")");
    }
  }
  const NetworkSize ours = size_of("nasnet", text, {.channels = 32, .cells = 6});
  NetworkOptions o;
  o.genotype = genotype;
  o.channels = 32;
  const NetworkSize theirs = measure_network(o);
  EXPECT_EQ(ours.parameters, theirs.parameters);
  EXPECT_EQ(ours.macs, theirs.macs);
  EXPECT_NEAR(static_cast<double>(ours.parameters), 3.1e6, 5e4);  // as Liu et al. (2019) give it
}

TEST(HierarchicalNetwork, IdentityIsTheSkeleton) {
  std::string motifs;
  for (int m = 0; m < 6; ++m) motifs += "606006.";
  const NetworkScale scale{.channels = 16, .classes = 10};
  const int64_t skeleton = (9 * 3 * 16 + 2 * 16) + (9 * 16 + 16 * 32 + 2 * 32) + (9 * 32 + 32 * 64 + 2 * 64) +
                           (9 * 64 + 64 * 64 + 2 * 64) + 64 * 10 + 10;
  EXPECT_EQ(size_of("hierarchical", motifs + "1010010001", scale).parameters, skeleton);
  // A 1x1 convolution in the first motif, which the cell has four times, in each of three stages.
  const int64_t convolution = 16 * 16 + 2 * 16 + 32 * 32 + 2 * 32 + 64 * 64 + 2 * 64;
  motifs[0] = '1';
  EXPECT_EQ(size_of("hierarchical", motifs + "1010010001", scale).parameters, skeleton + 4 * convolution);
  EXPECT_THROW(size_of("hierarchical", motifs + "1010010000", scale), Error);
}

class SmallNetworks : public testing::TestWithParam<std::string> {};

TEST_P(SmallNetworks, Learn) {
  const auto space = find_space(GetParam());
  Random random(5);
  for (int sample = 0; sample < 3; ++sample) {
    Arch arch = space->sample(random);
    Stores stores(kernels::DType::kF32, 1);
    Graph g;
    const Value images = g.input("images", {8, 8, 8, 3}), labels = g.input("labels", {8}, kernels::DType::kI32);
    const NetworkScale scale{.channels = 4, .classes = 3, .height = 8, .width = 8};
    const NetworkOutputs net = space->build(g, images, stores, arch, scale, true);
    ASSERT_EQ(g.shape(net.logits), (kernels::Shape{8, 3}));
    const Value loss = autograd::cross_entropy(g, net.logits, labels, 0, kernels::Reduction::kMean);
    const auto step = autograd::sgd(g, loss, stores.weights, stores.optimizer, {.momentum = 0.9, .clip = 5});
    autograd::Plan plan(g, {loss, step.norm, step.step});
    for (TensorStore* store : stores.all()) store->bind();
    stores.optimizer.set("weights.lr", 0.05);
    double first = 0, last = 0;
    for (int i = 0; i < 12; ++i) {
      Random pixels(3);
      for (float& x : std::span(plan.input("images").as<float>(), 8 * 8 * 8 * 3))
        x = static_cast<float>(pixels.normal());
      for (int n = 0; n < 8; ++n) plan.input("labels").as<int32_t>()[n] = n % 3;
      plan.run();
      last = plan.scalar(loss);
      if (i == 0) first = last;
      ASSERT_TRUE(std::isfinite(plan.scalar(step.norm))) << space->format(arch);
    }
    EXPECT_LT(last, 0.8 * first) << space->format(arch);
    // Evaluation finds all that training made.
    Graph evaluation;
    space->build(evaluation, evaluation.input("images", {8, 8, 8, 3}), stores, arch, scale, false);
  }
}

INSTANTIATE_TEST_SUITE_P(All, SmallNetworks,
                         testing::Values("nb101", "nbmacro", "darts", "nasnet:blocks=2", "enas-micro",
                                         "hierarchical"),
                         [](const auto& info) {
                           std::string name = info.param.substr(0, info.param.find(':'));
                           std::replace(name.begin(), name.end(), '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace mixop::nas
