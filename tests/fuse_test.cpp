// What the fusion passes make of graphs: which composites become one node, which units share one, and what is left
// alone because somebody needs a value between. That the results are right is what ops_test checks.
#include <gtest/gtest.h>

#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/separable.h"
#include "autograd/ops/unary.h"
#include "autograd/passes/passes.h"
#include "autograd/plan.h"
#include "tests/cases/separable.h"

namespace mixop {
namespace {

using autograd::CompileOptions;
using autograd::Graph;
using autograd::Plan;
using autograd::Value;
using kernels::DType;
using kernels::Shape;

std::map<std::string, int> count_ops(const Plan& plan) {
  std::map<std::string, int> count;
  for (const Plan::StepInfo& s : plan.steps()) ++count[s.op];
  return count;
}

/// Adds one case with the gradients of its inputs; what it computes.
std::vector<Value> add(const test::Case& c, Graph& g) {
  std::vector<Value> in, wanted;
  for (const test::CaseInput& i : c.inputs) {
    in.push_back(g.input(i.name, i.shape));
    if (i.differentiate) wanted.push_back(in.back());
  }
  std::vector<Value> out = c.build(g, in), seeds;
  for (size_t k = 0; k < out.size(); ++k) seeds.push_back(g.input("seed" + std::to_string(k), g.shape(out[k])));
  for (const Value v : autograd::vector_jacobian(g, out, seeds, wanted)) out.push_back(v);
  return out;
}

Plan compile(const test::Case& c, bool fuse) {
  Graph g;
  const std::vector<Value> out = add(c, g);
  CompileOptions options;
  options.fuse = fuse;
  return Plan(g, out, nullptr, options);
}

TEST(FuseSeparable, BothHalvesAndTheirGradientsAreOneNodeEach) {
  auto count = count_ops(compile(test::separable_case({2, 8, 8, 16}, {5, 2, 1, 2}), true));
  EXPECT_EQ(count["separable"], 2);
  EXPECT_EQ(count["separable_grad"], 2);
  for (const char* op : {"conv2d", "conv2d_dgrad", "conv2d_wgrad", "relu", "relu_grad", "bn_stats", "bn_grad"})
    EXPECT_EQ(count[op], 0) << op;
  EXPECT_EQ(count["bn_reduce"], 1);  // that of the result; the inner one is an epilogue
}

TEST(FuseSeparable, NothingIsFusedWhenAskedNotTo) {
  auto count = count_ops(compile(test::separable_case({2, 8, 8, 16}, {3, 1, 2, 1}), false));
  EXPECT_EQ(count["separable"] + count["separable_grad"], 0);
  EXPECT_EQ(count["conv2d"], 2);
  EXPECT_EQ(count["conv2d_wgrad"], 2);
}

TEST(FuseSeparable, UnitsThatLeaveOneStateShareANode) {
  auto count = count_ops(compile(test::separable_edges_case({2, 8, 8, 16}, 3, 1, false), true));
  EXPECT_EQ(count["separable"], 1 + 6);  // all first halves and dilated ones; second halves one by one
  EXPECT_EQ(count["separable_grad"], 1 + 6);
}

/// The gradient of a path under drop path is masked as it is read: two units that end in a mask, and a first half.
TEST(FuseSeparable, TheGradientTakesTheMaskOfDropPath) {
  for (const bool apart : {false, true}) {
    Graph g;
    std::vector<Value> out = add(test::drop_path_case({3, 8, 8, 16}, {{5, 1, 1, 2}, {3, 1, 2, 1}}), g);
    autograd::fuse(g, out);
    for (const auto pass : {autograd::fuse_mix, autograd::fuse_separable}) {
      g = autograd::prune(g, out);
      pass(g, out);
    }
    g = autograd::prune(g, out);
    autograd::group_separable(g, out, apart);
    g = autograd::prune(g, out);
    int nodes = 0, units = 0, sampled = 0;
    for (int i = 0; i < g.size(); ++i) {
      const autograd::Node& n = g.node(i);
      if (n.op != &autograd::kSeparableGrad) continue;
      ++nodes;
      for (const Value v : n.inputs)
        EXPECT_TRUE(g.node(v.node).op != &autograd::kMaskScale || g.shape(v) == Shape{3}) << g.shape(v);
      for (const auto& u : n.attr<kernels::SeparableGradAttrs>().units) ++units, sampled += u.sampled;
    }
    // What reads x is one, with a mask or without; apart, all data gradients have weight gradients of their own.
    EXPECT_EQ(nodes, apart ? 3 : 2);
    EXPECT_EQ(units, apart ? 6 : 3);
    EXPECT_EQ(sampled, apart ? 4 : 2);
  }
}

/// The depthwise result is read by somebody else, or asked for: it must exist.
TEST(FuseSeparable, AValueThatIsReadElsewhereStays) {
  for (const bool asked : {false, true}) {
    Graph g;
    const Value x = g.input("x", {2, 6, 6, 8}), dw = g.input("dw", {3, 3, 1, 8}), pw = g.input("pw", {1, 1, 8, 8});
    const Value y = autograd::conv2d(g, autograd::relu(g, x), dw, test::square_kernel(3, 1, 1, 8));
    const Value z = autograd::batch_norm(g, autograd::conv2d(g, y, pw, {}), {});
    const Value other = autograd::relu(g, y);
    Plan plan(g, asked ? std::vector<Value>{z, y} : std::vector<Value>{z, other});
    EXPECT_EQ(count_ops(plan)["separable"], 0);
  }
}

/// Without batch norm behind it a gradient of the 1x1 arrives from elsewhere: the composite stays as it is.
TEST(FuseSeparable, WithoutANormTheGradientStaysComposite) {
  Graph g;
  const Value x = g.input("x", {2, 6, 6, 8}), dw = g.input("dw", {3, 3, 1, 8}), pw = g.input("pw", {1, 1, 8, 8});
  const Value z = autograd::conv2d(g, autograd::conv2d(g, x, dw, test::square_kernel(3, 1, 1, 8)), pw, {});
  const Value seed = g.input("seed", g.shape(z));
  const auto grads = autograd::vector_jacobian(g, {z}, {seed}, {x, dw, pw});
  auto count = count_ops(Plan(g, grads));
  EXPECT_EQ(count["separable"] + count["separable_grad"], 0);
  EXPECT_EQ(count["conv2d_dgrad"], 2);
}

/// In evaluation there are no statistics to compute, and the rest is one node all the same.
TEST(FuseSeparable, EvaluationNeedsNoStatistics) {
  Graph g;
  const Value x = g.input("x", {2, 6, 6, 8}), dw = g.input("dw", {3, 3, 1, 8}), pw = g.input("pw", {1, 1, 8, 8});
  autograd::BatchNorm bn;
  bn.training = false;
  bn.running_mean = g.input("mean", {8}), bn.running_var = g.input("var", {8});
  const Value z = autograd::conv2d(g, autograd::conv2d(g, x, dw, test::square_kernel(3, 1, 1, 8)), pw, {});
  auto count = count_ops(Plan(g, {autograd::batch_norm(g, z, bn)}));
  EXPECT_EQ(count["separable"], 1);
  EXPECT_EQ(count["conv2d"], 0);
}

/// A state that many nodes mix gets its gradient in one pass.
TEST(FuseScales, GradientsOfASharedTermAreOneMix) {
  Graph g;
  const Value x = g.input("x", {2, 3, 3, 8}), table = g.input("table", {3});
  std::vector<Value> nodes, seeds;
  for (int i = 0; i < 3; ++i) {
    nodes.push_back(autograd::mix(g, table, {{i, x}}));
    seeds.push_back(g.input("seed" + std::to_string(i), g.shape(x)));
  }
  auto count = count_ops(Plan(g, autograd::vector_jacobian(g, nodes, seeds, {x})));
  EXPECT_EQ(count["mix"], 1);
  EXPECT_EQ(count["scale"], 0);
}

}  // namespace
}  // namespace mixop
