// PC-DARTS: its supernet is that of the paper, edge by edge, and decodes by the products of alphas and betas.
#include "nas/sharing/partial_channels.h"

#include <gtest/gtest.h>

#include <functional>

#include "autograd/ops/concat.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/shuffle.h"
#include "autograd/ops/softmax.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "nas/network.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/darts.h"
#include "tests/support/numbers.h"

namespace mixop::nas {
namespace {

TEST(PartialChannels, Counts) {
  SupernetOptions o;
  const struct {
    int64_t partial, parameters;
    double mmacs, unit;
  } published[] = {{4, 299578, 56.60, 1e-2}, {2, 671482, 115.3, 1e-1}, {8, 178042, 35.7, 1e-1}};
  for (const auto& p : published) {
    o.partial = p.partial;
    const NetworkSize size = measure_supernet(o);
    EXPECT_EQ(size.parameters, p.parameters) << p.partial;
    EXPECT_NEAR(size.macs / 1e6, p.mmacs, p.unit / 2) << p.partial;
  }
}

SupernetOptions tiny() {
  return {
      .channels = 8, .classes = 3, .cells = 3, .nodes = 3, .multiplier = 3, .height = 8, .width = 8, .partial = 4};
}

/// What the code of the paper does on every edge: candidates on the first channels, the others pass, shuffle.
Value edge(Layers& l, Value x, const SupernetOptions& o, int number, int stride, Value alphas) {
  const int64_t channels = l.g.shape(x).last(), part = channels / o.partial;
  const Graph::Scope scope(l.g, "edge." + std::to_string(number));
  const Value first = autograd::slice(l.g, x, 0, part);
  std::vector<std::pair<int64_t, Value>> terms;
  for (int k = 1; k < 8; ++k) terms.push_back({number * 8 + k, l.operation(kDartsOps[k], first, stride, true)});
  Value rest = autograd::slice(l.g, x, part, channels - part);
  if (stride == 2) rest = autograd::max_pool(l.g, rest, {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}});
  const Value joined = autograd::concat(l.g, {autograd::mix(l.g, alphas, terms), rest});
  return autograd::channel_shuffle(l.g, joined, o.partial);
}

Value published_network(Graph& g, Value images, Stores& stores, const SupernetOptions& o) {
  Layers l{g, stores.weights, &stores.state, true, false};
  const auto table = [&](const std::string& name, int64_t columns) {
    return g.tensor(stores.alphas, name, {o.edges(), columns}, autograd::Init::normal(0.5));
  };
  std::vector<Value> alphas, betas;
  for (const char* cell : {"normal", "reduce"}) {
    alphas.push_back(autograd::softmax(g, table(std::string("alphas_") + cell, 8)));
    betas.push_back(table(std::string("betas_") + cell, 1));
  }
  Value s0 = cifar_stem(l, images, 3 * o.channels), s1 = s0;
  int64_t channels = o.channels;
  bool reduced = false;
  for (int i = 0; i < o.cells; ++i) {
    const bool reduction = i == o.cells / 3 || i == 2 * o.cells / 3;
    if (reduction) channels *= 2;
    const Graph::Scope cell(g, "cells." + std::to_string(i));
    std::vector<Value> states;
    {
      const Graph::Scope scope(g, "pre0");
      states.push_back(reduced ? l.factorized_reduce(s0, channels) : l.relu_conv_bn(s0, channels));
    }
    {
      const Graph::Scope scope(g, "pre1");
      states.push_back(l.relu_conv_bn(s1, channels));
    }
    for (int n = 0, number = 0; n < o.nodes; ++n) {
      const Value weights = autograd::softmax(
          g, autograd::reshape(g, autograd::slice_axis(g, betas[reduction], 0, number, n + 2), {1, n + 2}));
      std::vector<std::pair<int64_t, Value>> terms;
      for (int j = 0; j < n + 2; ++j)
        terms.push_back({j, edge(l, states[j], o, number++, reduction && j < 2 ? 2 : 1, alphas[reduction])});
      states.push_back(autograd::mix(g, weights, terms));
    }
    s0 = s1;
    s1 = autograd::concat(g, {states.end() - o.multiplier, states.end()});
    reduced = reduction;
  }
  return l.linear(autograd::global_avg_pool(g, s1), "classifier", o.classes);
}

using Build = std::function<Value(Graph&, Value, Stores&)>;

/// Logits and the gradients of all alphas and weights by name, in float64.
std::map<std::string, std::vector<double>> results_of(const Build& build, const SupernetOptions& o) {
  Stores stores(kernels::DType::kF64, 3);
  Graph g(kernels::DType::kF64);
  const Value images = g.input("images", {2, o.height, o.width, 3});
  const Value labels = g.input("labels", {2}, kernels::DType::kI32);
  const Value logits = build(g, images, stores);
  const Value loss = autograd::cross_entropy(g, logits, labels);
  std::vector<Value> tensors, asked = {logits};
  std::vector<std::string> names = {"logits"};
  for (autograd::TensorStore* store : {&stores.alphas, &stores.weights})
    for (const auto& e : store->entries()) {
      tensors.push_back(g.tensor(*store, e.name, e.shape));
      names.push_back(e.name);
    }
  for (const Value v : autograd::gradients(g, loss, tensors)) asked.push_back(v);
  autograd::Plan plan(g, asked);
  for (autograd::TensorStore* store : stores.all()) store->bind();
  test::set_numbers(plan.input("images"),
                    [](int64_t i) { return kernels::normal(7, 0, static_cast<uint64_t>(i)); });
  plan.input("labels").as<int32_t>()[0] = 2;
  plan.input("labels").as<int32_t>()[1] = 0;
  plan.run();
  std::map<std::string, std::vector<double>> results;
  for (size_t i = 0; i < names.size(); ++i) results[names[i]] = test::numbers_of(plan.output(asked[i]));
  return results;
}

TEST(PartialChannels, TheNetworkIsThatOfThePaper) {
  const auto want = results_of(
      [](Graph& g, Value images, Stores& stores) { return published_network(g, images, stores, tiny()); }, tiny());
  for (const Lowering lowering : {Lowering::kGrouped, Lowering::kReference}) {
    SupernetOptions o = tiny();
    o.lowering = lowering;
    const auto got = results_of(
        [&](Graph& g, Value images, Stores& stores) {
          for (const MixTable& t : partial_channels_space(o)->tables())  // with larger numbers than a search's
            g.tensor(stores.alphas, t.name, {t.rows, static_cast<int64_t>(t.columns.size())},
                     autograd::Init::normal(0.5));
          return build_supernet(g, images, stores, o, true).logits;
        },
        o);
    ASSERT_EQ(got.size(), want.size());
    for (const auto& [name, numbers] : want) {
      ASSERT_EQ(got.at(name).size(), numbers.size()) << name;
      double largest = 0;
      for (const double v : numbers) largest = std::max(largest, std::abs(v));
      for (size_t i = 0; i < numbers.size(); ++i)
        ASSERT_NEAR(got.at(name)[i], numbers[i], 1e-10 * (1 + largest)) << name << " " << i;
      if (name.find("betas") == 0) {
        EXPECT_GT(largest, 1e-6) << name;
      }
    }
  }
}

std::map<std::string, int> ops_of(const DartsOptions& o, const std::string& method) {
  const AlphaMethodInfo& info = find_alpha_method(method);
  const DartsSearch search(o, {{4}, {4}, {}}, kernels::DType::kF32, {}, {}, info.make(Settings(info.settings)));
  std::map<std::string, int> ops;
  for (const auto& step : search.weight_plan().steps()) ++ops[step.op];
  return ops;
}

// The candidates read a slice of the channels; passes join them as they do those of whole states.
TEST(PartialChannels, CandidatesAreFusedAsThoseOfDarts) {
  DartsOptions o;
  o.net = tiny();
  o.net.partial = 1;
  const auto whole = ops_of(o, "darts"), partial = ops_of(o, "pc-darts");
  for (const char* op : {"conv2d", "separable", "separable_grad", "pool_stats", "pool_stats_grad", "mix_reduce"}) {
    EXPECT_GT(whole.count(op), 0u) << op;
    EXPECT_EQ(partial.count(op) ? partial.at(op) : 0, whole.count(op) ? whole.at(op) : 0) << op;
  }
}

TEST(PartialChannels, DecodesByTheProducts) {
  const auto space = partial_channels_space(tiny());
  const int edges = tiny().edges();
  std::vector<TableValues> tables(4, TableValues(static_cast<size_t>(edges) * 8, 0.1));
  tables[2] = tables[3] = TableValues(static_cast<size_t>(edges), 0.5);
  for (size_t e = 0; e < static_cast<size_t>(edges); ++e) tables[0][e * 8 + 4] = 0.2;
  // Edges 2, 3, 4 enter the second node: by alphas alone all are equal, which leaves inputs 0 and 1.
  tables[2][2] = 0.1;
  tables[2][3] = 0.3;
  tables[2][4] = 0.6;
  const Genotype g = parse_genotype(space->decode_text(tables));
  EXPECT_EQ(g.normal.edges[2], (Edge{CellOp::sep_conv_3x3, 2}));
  EXPECT_EQ(g.normal.edges[3], (Edge{CellOp::sep_conv_3x3, 1}));
  EXPECT_EQ(g.reduce.edges[2], (Edge{CellOp::max_pool_3x3, 0}));
  // A strong alpha on a weak edge loses, and wins when it is strong enough.
  tables[0][2 * 8 + 7] = 0.5;
  EXPECT_EQ(parse_genotype(space->decode_text(tables)).normal.edges[3], (Edge{CellOp::sep_conv_3x3, 1}));
  tables[0][2 * 8 + 7] = 0.9;
  EXPECT_EQ(parse_genotype(space->decode_text(tables)).normal.edges[3], (Edge{CellOp::dil_conv_5x5, 0}));
}

std::string error_of(const SupernetOptions& o) {
  try {
    partial_channels_space(o);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

TEST(PartialChannels, ChannelsMustDivide) {
  SupernetOptions o = tiny();
  o.channels = 6;
  EXPECT_NE(error_of(o).find("6 channels do not divide into 4 equal parts"), std::string::npos) << error_of(o);
  o.partial = 1;
  EXPECT_NE(error_of(o).find("that is the supernet of DARTS"), std::string::npos) << error_of(o);
}

TEST(PcDarts, MethodHasThePapersSettings) {
  const AlphaMethodInfo& info = find_alpha_method("pc-darts");
  EXPECT_EQ(info.defaults.batch, 256);
  EXPECT_EQ(info.defaults.lr, 0.1);
  EXPECT_EQ(info.defaults.lr_min, 0);
  EXPECT_EQ(info.defaults.arch_lr, 6e-4);
  const auto method = info.make(Settings(info.settings));
  EXPECT_FALSE(method->moves_alphas(14));
  EXPECT_TRUE(method->moves_alphas(15));
  const auto space = method->make_space({});
  int64_t numbers = 0;
  for (const AlphaTensor& a : method->alphas(*space)) numbers += a.shape.elements();
  EXPECT_EQ(numbers, 252);
}

TEST(PcDarts, StrengthsAreNormalisedByRowAndByNode) {
  const AlphaMethodInfo& info = find_alpha_method("pc-darts");
  const auto method = info.make(Settings(info.settings));
  const auto space = method->make_space(tiny());
  std::vector<TableValues> alphas;
  for (const MixTable& t : space->tables()) {
    TableValues values;
    for (size_t i = 0; i < static_cast<size_t>(t.rows) * t.columns.size(); ++i)
      values.push_back(kernels::normal(5, alphas.size(), i));
    alphas.push_back(values);
  }
  const auto strengths = method->strengths(*space, alphas);
  EXPECT_NEAR(strengths[0][0] / strengths[0][7], std::exp(alphas[0][0] - alphas[0][7]), 1e-12);
  size_t e = 0;
  for (int n = 0; n < 3; ++n) {
    double sum = 0;
    for (int j = 0; j < n + 2; ++j) sum += strengths[2][e++];
    EXPECT_NEAR(sum, 1, 1e-12);
  }
  EXPECT_NEAR(strengths[3][2] / strengths[3][4], std::exp(alphas[3][2] - alphas[3][4]), 1e-12);
}

}  // namespace
}  // namespace mixop::nas
