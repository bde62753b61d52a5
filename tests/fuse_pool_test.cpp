// What the pass makes of poolings with a batch norm behind them, and running statistics that share one norm.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "autograd/params.h"
#include "autograd/passes/passes.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "tests/cases/pool.h"
#include "tests/cases/separable.h"
#include "tests/support/numbers.h"
#include "tests/support/runner.h"

namespace mixop::test {
namespace {

using autograd::CompileOptions;
using autograd::Graph;
using autograd::Init;
using autograd::Plan;
using autograd::PoolAttrs;
using autograd::TensorStore;
using autograd::Value;
using kernels::DType;

std::map<std::string, int> count_ops(const Plan& plan) {
  std::map<std::string, int> count;
  for (const Plan::StepInfo& s : plan.steps()) ++count[s.op];
  return count;
}

TEST(FusePool, PoolingAndNormAreOneNodeEachWay) {
  for (const bool max : {true, false})
    for (const int stride : {1, 2})
      for (const Case& c : pooled_norm_cases({2, 8, 8, 16}, max, {.stride = {stride, stride}})) {
        auto count = count_ops(CaseProgram(c, DType::kF32).plan());
        EXPECT_EQ(count["pool_stats"], 1) << c.name;
        EXPECT_EQ(count["pool_stats_grad"], 1) << c.name;
        for (const char* op : {"max_pool", "max_pool_grad", "avg_pool", "avg_pool_grad", "bn_stats", "bn_grad"})
          EXPECT_EQ(count[op], 0) << c.name << ": " << op;
        EXPECT_EQ(count_ops(CaseProgram(c, DType::kF32, {.fuse = false}).plan())["pool_stats"], 0) << c.name;
      }
  auto ties = count_ops(CaseProgram(pooled_norm_of_ties({2, 8, 8, 16}, {}), DType::kF32).plan());
  EXPECT_EQ(ties["pool_stats"], 1);
  EXPECT_EQ(ties["pool_stats_grad"], 1);
}

/// Ops of a graph of x [2,8,8,4] and its gradient.
std::map<std::string, int> ops_of(const std::function<std::vector<Value>(Graph&, Value)>& build) {
  return count_ops(
      CaseProgram(
          {"", {{"x", {2, 8, 8, 4}}}, [&](Graph& g, const std::vector<Value>& in) { return build(g, in[0]); }},
          DType::kF32)
          .plan());
}

TEST(FusePool, WhatOthersNeedIsLeftAlone) {
  // No norm; a norm with scale and shift (its gradient stays); a pooled value that also goes elsewhere.
  auto plain = ops_of([](Graph& g, Value x) { return std::vector<Value>{autograd::max_pool(g, x, {})}; });
  EXPECT_EQ(plain["max_pool"], 1);
  EXPECT_EQ(plain["max_pool_grad"], 1);
  auto shared = ops_of([](Graph& g, Value x) {
    const Value z = autograd::avg_pool(g, x, {});
    const Value y = autograd::batch_norm(g, z, {});
    return std::vector<Value>{y, autograd::relu(g, z)};
  });
  EXPECT_EQ(shared["pool_stats"], 1);
  EXPECT_EQ(shared["avg_pool_grad"], 1);  // of a sum of two gradients
  EXPECT_EQ(shared["pool_stats_grad"], 0);
}

/// How the nodes of a small cell come about.
enum class Nodes : uint8_t { kMixed, kMixedByTwoTables, kSummedUnderDropPath };

/// A cell of one input s, a norm of x, and two nodes: each the normed poolings, a convolution and, with stride 1,
/// the skip connection of s; the second also those of the first.
Case cell_case(Nodes nodes, int stride, bool affine, bool state_asked = false) {
  SeparableCase c(kernels::text("cell ", int(nodes), " stride ", stride, affine ? " affine" : "",
                                state_asked ? " and its input" : ""));
  const int64_t channels = 4;
  c.input("x", {3, 8, 8, channels});
  c.input("gamma", {channels});
  c.input("beta", {channels});
  c.input("table 0", {3, 4});
  c.input("table 1", {3, 4});
  const int mask = c.mask("mask", 3), keep = c.keep();
  int weights[3];
  for (int e = 0; e < 3; ++e) weights[e] = c.weights({}, channels);
  return c.build([=](Graph& g, const std::vector<Value>& in) {
    autograd::BatchNorm pre;
    if (affine) pre.gamma = in[1], pre.beta = in[2];
    const Value s = autograd::batch_norm(g, in[0], pre);
    const auto candidates = [&](Value from, int edge_stride) {
      std::vector<Value> shared;
      for (const bool max : {true, false})
        shared.push_back(
            autograd::batch_norm(g, pool_of(g, from, max, {.stride = {edge_stride, edge_stride}}), {}));
      if (edge_stride == 1) shared.push_back(from);
      return shared;
    };
    const auto node = [&](const std::vector<std::vector<Value>>& edges, const Value& table, int64_t first) {
      std::vector<std::pair<int64_t, Value>> terms;
      std::vector<Value> values;
      for (size_t e = 0; e < edges.size(); ++e)
        for (size_t k = 0; k < edges[e].size(); ++k) {
          const int64_t at = first + static_cast<int64_t>(4 * e + k);
          terms.emplace_back(at, edges[e][k]);
          const bool dropped = k + 1 == edges[e].size();
          values.push_back(dropped ? autograd::apply_mask(g, edges[e][k], in[mask], in[keep]) : edges[e][k]);
        }
      return nodes == Nodes::kSummedUnderDropPath ? autograd::sum(g, values) : autograd::mix(g, table, terms);
    };
    const auto with_layer = [&](std::vector<Value> edge, Value from, int edge_stride, int w) {
      edge.push_back(separable_layer(g, from, {.stride = edge_stride}, in, w));
      return edge;
    };
    const std::vector<Value> of_s = candidates(s, stride);
    const Value a = node({with_layer(of_s, s, stride, weights[0])}, in[3], 0);
    const Value b = node({with_layer(of_s, s, stride, weights[1]), with_layer(candidates(a, 1), a, 1, weights[2])},
                         in[nodes == Nodes::kMixedByTwoTables ? 4 : 3], 4);
    std::vector<Value> out = {autograd::concat(g, {a, b}, 3)};
    if (state_asked) out.push_back(s);
    return out;
  });
}

/// Fused and as it was built, in float64.
void expect_same(const Case& c) {
  CaseProgram fused(c, DType::kF64, {.poison = true}), plain(c, DType::kF64, {.fuse = false});
  const auto got = fused.run(fused.inputs()), want = plain.run(plain.inputs());
  ASSERT_EQ(got.size(), want.size());
  for (size_t i = 0; i < want.size(); ++i) {
    double difference = 0, magnitude = 0;
    for (size_t k = 0; k < want[i].values.size(); ++k) {
      difference = std::max(difference, std::abs(want[i].values[k] - got[i].values[k]));
      magnitude = std::max(magnitude, std::abs(want[i].values[k]));
    }
    EXPECT_LT(difference, 1e-11 * magnitude) << c.name << ": " << want[i].name;
  }
}

TEST(FusePool, CellsAreTheSameFused) {
  for (const Nodes nodes : {Nodes::kMixed, Nodes::kMixedByTwoTables, Nodes::kSummedUnderDropPath})
    for (const int stride : {1, 2})
      for (const bool affine : {false, true}) expect_same(cell_case(nodes, stride, affine));
  expect_same(cell_case(Nodes::kMixed, 1, true, true));
}

TEST(FusePool, NothingButFusedNodesIsLeftOfACell) {
  for (const Nodes nodes : {Nodes::kMixed, Nodes::kSummedUnderDropPath})
    for (const int stride : {1, 2}) {
      const Case c = cell_case(nodes, stride, true);
      auto count = count_ops(CaseProgram(c, DType::kF32).plan());
      EXPECT_EQ(count["pool_stats"], 2) << c.name;  // one for each state
      EXPECT_EQ(count["pool_stats_grad"], 2) << c.name;
      EXPECT_EQ(count["mix"], 2) << c.name;         // the nodes, nothing on the way back
      EXPECT_EQ(count["mix_reduce"], 2) << c.name;  // of the gradients of the nodes
      EXPECT_EQ(count["bn_reduce"], 1) << c.name;   // of s
      for (const char* op : {"bn_apply", "scale", "mix_weight_grad"})
        EXPECT_EQ(count[op], 0) << c.name << ": " << op;
    }
}

TEST(FusePool, ANormThatIsAskedForIsStored) {
  auto count = count_ops(CaseProgram(cell_case(Nodes::kMixed, 1, true, true), DType::kF32).plan());
  EXPECT_EQ(count["bn_apply"], 1);
  EXPECT_EQ(count["pool_stats"], 2);
  EXPECT_EQ(count["pool_stats_grad"], 2);
}

/// Poolings of two states that one node reads.
Graph two_states(std::vector<Value>& outputs) {
  Graph g(DType::kF64);
  const Value table = g.input("table", {2, 3});
  std::vector<std::pair<int64_t, Value>> terms;
  std::vector<Value> wrt = {table};
  for (int s = 0; s < 2; ++s) {
    wrt.push_back(g.input(kernels::text("x", s), {2, 6, 6, 4}));
    for (const bool max : {true, false})
      terms.emplace_back(3 * s + max, autograd::batch_norm(g, pool_of(g, wrt.back(), max, {}), {}));
    terms.emplace_back(3 * s + 2, wrt.back());
  }
  const Value y = autograd::mix(g, table, terms);
  outputs = autograd::vector_jacobian(g, {y}, {g.input("dy", g.shape(y))}, wrt);
  outputs.push_back(y);
  return g;
}

std::vector<double> results(Plan& plan, const std::vector<Value>& outputs) {
  for (const char* name : {"table", "x0", "x1", "dy"}) {
    const kernels::View to = plan.input(name);
    for (int64_t i = 0; i < to.shape.elements(); ++i)
      to.as<double>()[i] = kernels::normal(static_cast<uint64_t>(name[0] + name[1]), 1, static_cast<uint64_t>(i));
  }
  plan.run();
  std::vector<double> all;
  for (const Value v : outputs) {
    const kernels::View out = plan.output(v);
    for (int64_t i = 0; i < out.shape.elements(); ++i) all.push_back(out.as<double>()[i]);
  }
  return all;
}

TEST(FusePool, StatesApartShareNodesOnADevice) {
  std::vector<Value> outputs;
  const Graph built = two_states(outputs);
  Plan plain(built, outputs, nullptr, {.fuse = false});
  const std::vector<double> want = results(plain, outputs);
  for (const bool apart : {false, true}) {
    std::vector<Value> asked = outputs;
    Graph g = autograd::prune(built, asked);
    autograd::fuse(g, asked);
    g = autograd::prune(g, asked);
    autograd::fuse_pool(g, asked);
    g = autograd::prune(g, asked);
    autograd::group_pools(g, asked, apart);
    g = autograd::prune(g, asked);
    autograd::fuse_mix(g, asked);
    g = autograd::prune(g, asked);
    Plan plan(g, asked, nullptr, {.fuse = false});
    auto count = count_ops(plan);
    EXPECT_EQ(count["pool_stats"], apart ? 1 : 2);
    EXPECT_EQ(count["pool_stats_grad"], apart ? 1 : 2);
    EXPECT_EQ(count["bn_reduce"] + count["scale"] + count["sum"], 0);
    const std::vector<double> got = results(plan, asked);
    ASSERT_EQ(got.size(), want.size());
    for (size_t i = 0; i < want.size(); ++i) ASSERT_NEAR(got[i], want[i], 1e-11) << apart << " " << i;
  }
}

/// Running statistics after three steps: `pairs` pairs that follow one norm behind a pooling, or without one.
std::vector<double> moved(DType real, int pairs, bool pool, const CompileOptions& options) {
  TensorStore state("state", real);
  Graph g(real);
  const Value x = g.input("x", {3, 5, 4, 17});
  autograd::BatchNorm bn;
  for (int i = 0; i < pairs; ++i) {
    const Value mean = g.tensor(state, kernels::text("mean", i), {17}, Init::constant(i)),
                var = g.tensor(state, kernels::text("var", i), {17}, Init::constant(1));
    if (i == 0) bn.running_mean = mean, bn.running_var = var;
    else bn.more_running.emplace_back(mean, var);
  }
  Plan plan(g, {autograd::batch_norm(g, pool ? autograd::max_pool(g, x, {}) : x, bn)}, nullptr, options);
  for (uint64_t step = 0; step < 3; ++step) {
    set_numbers(plan.input("x"), [&](int64_t i) { return 2 + kernels::normal(9, step, static_cast<uint64_t>(i)); });
    plan.run();
  }
  return numbers_of(state.flat());
}

TEST(RunningStatistics, SeveralPairsFollowOneNorm) {
  for (const bool pool : {false, true})
    for (const int pairs : {0, 1, 2, 8}) {
      const std::vector<double> want = moved(DType::kF64, pairs, pool, {.fuse = false}),
                                got = moved(DType::kF32, pairs, pool, {});
      ASSERT_EQ(want.size(), static_cast<size_t>(pairs * 34));
      for (size_t i = 0; i < want.size(); ++i)
        ASSERT_NEAR(got[i], want[i], 4e-6 * (1 + std::abs(want[i]))) << pool << " " << pairs << " " << i;
      // Each pair moves as it does alone.
      const std::vector<double> alone = moved(DType::kF32, 1, pool, {});
      for (size_t i = 0; i < 34 && pairs > 0; ++i) ASSERT_EQ(got[i], alone[i]);
    }
  EXPECT_THROW(moved(DType::kF32, 9, false, {}), std::exception);
}

/// One call of max_pool or, with dy, of its gradient by one entry.
std::vector<float> pooled(const kernels::Impl& impl, const kernels::Shape& x, std::vector<float> values, bool grad,
                          const PoolAttrs& a, kernels::Write write) {
  const kernels::Shape y{x[0], kernels::PoolAxis(a, x, 0).outputs(), kernels::PoolAxis(a, x, 1).outputs(), x[3]};
  std::vector<float> dy(y.elements()), out((grad ? x : y).elements(), 0.5f);
  for (size_t i = 0; i < dy.size(); ++i) dy[i] = static_cast<float>(i % 7) - 2;
  std::vector<kernels::View> in;
  if (grad) in.push_back({dy.data(), DType::kF32, y, y.last()});
  in.push_back({values.data(), DType::kF32, x, x.last()});
  const kernels::Out to{{out.data(), DType::kF32, grad ? x : y, x.last()}, write};
  kernels::Exec exec;
  const kernels::Call call{&exec, in, {&to, 1}, &a};
  std::vector<std::byte> workspace((impl.workspace ? impl.workspace(call) : 0) + 64);
  exec.workspace = workspace.data() + (64 - reinterpret_cast<uintptr_t>(workspace.data()) % 64) % 64;
  impl.run(call);
  return out;
}

TEST(MaxPool, NanAndInfinityAsInTheDefinition) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const kernels::Shape x{3, 13, 8, 16};
  for (const int stride : {1, 2})
    for (const int odd : {0, 1, 40, 400}) {  // cells that are not finite, per thousand; image 0 has none
      std::vector<float> values(x.elements());
      for (size_t i = 0; i < values.size(); ++i) {
        values[i] = static_cast<float>(kernels::normal(3, 0, i));
        const auto dice = static_cast<int>(std::abs(kernels::normal(4, 0, i)) * 1e6) % 1000;
        if (i >= values.size() / 3 && dice < odd) values[i] = dice % 3 == 0 ? nan : dice % 3 == 1 ? inf : -inf;
      }
      const PoolAttrs a{.stride = {stride, stride}};
      for (const bool grad : {false, true})
        for (const kernels::Write write : {kernels::Write::kSet, kernels::Write::kAdd}) {
          if (!grad && write == kernels::Write::kAdd) continue;
          const auto list = grad ? kernels::max_pool_grad_cpu() : kernels::max_pool_cpu();
          const auto want = pooled(list.back(), x, values, grad, a, write),
                     got = pooled(list.front(), x, values, grad, a, write);
          for (size_t i = 0; i < want.size(); ++i)
            ASSERT_TRUE(std::isnan(want[i]) ? std::isnan(got[i]) : got[i] == want[i])
                << stride << " " << odd << " " << grad << " " << i << ": " << got[i] << ", want " << want[i];
        }
    }
}

/// dx of a state behind a max_pool, an avg_pool and, at stride 1, a skip, with one gradient.
std::vector<float> grouped(const kernels::Impl& impl, const kernels::Shape& x, std::vector<float> values,
                           int stride, kernels::Write write) {
  const PoolAttrs a{.stride = {stride, stride}};
  const kernels::Shape z{x[0], kernels::PoolAxis(a, x, 0).outputs(), kernels::PoolAxis(a, x, 1).outputs(), x[3]},
      vector{x[3]};
  kernels::PoolStatsGradAttrs attrs;
  attrs.groups.push_back({.x = x, .load = {}, .reads_x = true, .gradients = 1, .pools = {}, .skips = {}});
  for (const bool max : {true, false}) attrs.groups[0].pools.push_back({a, max, {{}}});
  if (stride == 1) attrs.groups[0].skips.push_back({});
  std::vector<kernels::View> in{{values.data(), DType::kF32, x, x[3]}};
  std::vector<std::vector<float>> others;
  for (const kernels::Shape& shape : {z, z, vector, vector, vector, vector, z, vector, vector, vector, vector}) {
    std::vector<float>& v = others.emplace_back(shape.elements());
    for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<float>(kernels::normal(5, others.size(), i));
    in.push_back({v.data(), DType::kF32, shape, x[3]});
  }
  std::vector<float> dx(values.size(), 0.5f);
  const kernels::Out to{{dx.data(), DType::kF32, x, x[3]}, write};
  kernels::Exec exec;
  const kernels::Call call{&exec, in, {&to, 1}, &attrs};
  std::vector<std::byte> workspace((impl.workspace ? impl.workspace(call) : 0) + 64);
  exec.workspace = workspace.data() + (64 - reinterpret_cast<uintptr_t>(workspace.data()) % 64) % 64;
  impl.run(call);
  return dx;
}

TEST(PoolStatsGrad, NanAndInfinityAsInTheDefinition) {
  const float nan = std::numeric_limits<float>::quiet_NaN(), inf = std::numeric_limits<float>::infinity();
  const kernels::Shape x{2, 13, 8, 16};
  for (const int stride : {1, 2})
    for (const float odd : {0.0f, nan, inf, -inf})
      for (const kernels::Write write : {kernels::Write::kSet, kernels::Write::kAdd}) {
        std::vector<float> values(x.elements());
        for (size_t i = 0; i < values.size(); ++i)
          values[i] = i % 1500 == 700 || i / 128 == 18 ? odd : static_cast<float>(kernels::normal(3, 0, i));
        const auto list = kernels::pool_stats_grad_cpu();
        const auto want = grouped(list.back(), x, values, stride, write),
                   got = grouped(list.front(), x, values, stride, write);
        for (size_t i = 0; i < want.size(); ++i)
          ASSERT_NEAR(got[i], want[i], 1e-4) << stride << " " << odd << " " << i;
      }
}

}  // namespace
}  // namespace mixop::test
