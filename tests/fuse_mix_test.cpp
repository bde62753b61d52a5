// The pass that joins the reductions of one arriving gradient: which nodes it makes, and which it leaves alone.
#include <gtest/gtest.h>

#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/mix.h"
#include "autograd/plan.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Value;

/// The ops of the steps that give the gradients of `wrt`, with their numbers.
std::map<std::string, int> backward_ops(Graph& g, Value y, const std::vector<Value>& wrt) {
  const std::vector<Value> asked = autograd::vector_jacobian(g, {y}, {g.input("dy", g.shape(y))}, wrt);
  const autograd::Plan plan(g, asked);
  std::map<std::string, int> ops;
  for (const auto& step : plan.steps()) ++ops[step.op];
  return ops;
}

/// A mixture of three normed inputs and a plain one.
struct Mixture {
  Graph g;
  Value table = g.input("table", {2, 4}), y;
  std::vector<Value> z;

  Mixture() {
    std::vector<std::pair<int64_t, Value>> terms;
    for (int t = 0; t < 4; ++t) {
      z.push_back(g.input(kernels::text("z", t), {2, 4, 4, 8}));
      terms.emplace_back(t, t < 3 ? autograd::batch_norm(g, z.back(), {}) : z.back());
    }
    y = autograd::mix(g, table, terms);
  }
};

TEST(FuseMix, ArchitectureStep) {
  Mixture m;
  auto ops = backward_ops(m.g, m.y, {m.table, m.z[0], m.z[1], m.z[2], m.z[3]});
  EXPECT_EQ(ops["mix_reduce"], 1);
  EXPECT_EQ(ops["mix_weight_grad"], 0);
  EXPECT_EQ(ops["bn_reduce"], 0);
  EXPECT_EQ(ops["bn_grad"], 3);
}

TEST(FuseMix, WeightStep) {
  Mixture m;
  auto ops = backward_ops(m.g, m.y, {m.z[0], m.z[1]});
  EXPECT_EQ(ops["mix_reduce"], 1);
  EXPECT_EQ(ops["bn_reduce"], 0);
}

TEST(FuseMix, NothingToJoin) {
  Mixture one, table;
  auto ops = backward_ops(one.g, one.y, {one.z[0]});
  EXPECT_EQ(ops["mix_reduce"], 0);
  EXPECT_EQ(ops["bn_reduce"], 1);
  ops = backward_ops(table.g, table.y, {table.table});
  EXPECT_EQ(ops["mix_reduce"], 0);
  EXPECT_EQ(ops["mix_weight_grad"], 1);
}

TEST(FuseMix, SumWithoutTable) {
  Graph g;
  const Value a = g.input("a", {2, 4, 4, 8}), b = g.input("b", {2, 4, 4, 8});
  const Value y = autograd::add(g, autograd::batch_norm(g, a, {}), autograd::batch_norm(g, b, {}));
  auto ops = backward_ops(g, y, {a, b});
  EXPECT_EQ(ops["mix_reduce"], 1);
  EXPECT_EQ(ops["bn_reduce"], 0);
}

TEST(FuseMix, DropPathIsAFactorOfATerm) {
  Graph g;
  const Value a = g.input("a", {2, 4, 4, 8}), skip = g.input("skip", {2, 4, 4, 8}), mask = g.input("mask", {2});
  const Value dropped = autograd::apply_mask(g, autograd::batch_norm(g, a, {}), mask, 0.8);
  std::map<std::string, int> ops;
  for (const auto& step : autograd::Plan(g, {autograd::sum(g, {skip, dropped})}).steps()) ++ops[step.op];
  EXPECT_EQ(ops["mix"], 1);
  EXPECT_EQ(ops["bn_apply"], 0);
  EXPECT_EQ(ops["mask_scale"], 1);  // of the mask itself
}

/// The gradients of a sum of two norms, both or one under drop path, and a skip: the 4-d steps that apply a mask
/// must only serve bn_grad.
TEST(FuseMix, ReductionsTakeTheFactorsOfDropPath) {
  for (const int masks : {1, 2}) {
    for (const int norms : {1, 2}) {
      Graph g;
      std::vector<Value> wrt, terms = {g.input("skip", {2, 4, 4, 8})};
      for (int t = 0; t < norms; ++t) {
        wrt.push_back(g.input(kernels::text("z", t), {2, 4, 4, 8}));
        terms.push_back(autograd::batch_norm(g, wrt.back(), {}));
        if (t >= masks) continue;
        const Value mask = g.input(kernels::text("mask", t), {2});
        terms.back() = autograd::apply_mask(g, terms.back(), mask, 0.8);
      }
      const Value y = autograd::sum(g, terms);
      const std::vector<Value> asked = autograd::vector_jacobian(g, {y}, {g.input("dy", g.shape(y))}, wrt);
      const autograd::Plan plan(g, asked);
      std::map<std::string, int> ops;
      std::string key;
      for (const auto& step : plan.steps()) {
        ++ops[step.op];
        if (step.op == "mix_reduce") key = step.key;
      }
      EXPECT_EQ(ops["mix_reduce"], 1);
      EXPECT_EQ(ops["bn_reduce"], 0);
      EXPECT_NE(key.find(norms == 1 ? "sf" : masks == 1 ? "ssf" : "sfsf"), std::string::npos) << key;
      EXPECT_EQ(ops["mask_scale"], 2 * std::min(masks, norms));  // of the mask, and for bn_grad
    }
  }
}

/// The gradient of the table is of the dropped mixture: its reductions stay together.
TEST(FuseMix, DroppedMixture) {
  Mixture m;
  const Value y = autograd::apply_mask(m.g, m.y, m.g.input("mask", {2}), 0.8);
  auto ops = backward_ops(m.g, y, {m.table, m.z[0], m.z[1], m.z[2], m.z[3]});
  EXPECT_EQ(ops["mix_reduce"], 1);
  EXPECT_EQ(ops["bn_reduce"] + ops["mix_weight_grad"], 0);
}

TEST(FuseMix, SumsNormaliseOnLoad) {
  Graph g;
  const Value a = g.input("a", {2, 4, 4, 8}), b = g.input("b", {2, 4, 4, 8}), skip = g.input("skip", {2, 4, 4, 8});
  const Value norm = autograd::batch_norm(g, a, {});
  const auto ops = [&](Value y) {
    std::map<std::string, int> count;
    for (const auto& step : autograd::Plan(g, {y}).steps()) ++count[step.op];
    return count;
  };
  for (const Value y :
       {autograd::sum(g, {norm, skip, autograd::batch_norm(g, b, {})}), autograd::add(g, skip, norm)}) {
    auto count = ops(y);
    EXPECT_EQ(count["mix"], 1);
    EXPECT_EQ(count["bn_apply"] + count["add"] + count["sum"], 0);
  }
  EXPECT_EQ(ops(autograd::add(g, a, b))["mix"], 0);
  EXPECT_EQ(ops(autograd::add(g, norm, norm))["mix"], 0);  // somebody else reads it: computed once
}

TEST(FuseMix, TwoTables) {
  Graph g;
  std::vector<Value> wrt;
  std::vector<Value> mixes;
  for (const char* name : {"a", "b"}) {
    wrt.push_back(g.input(kernels::text("table ", name), {3}));
    std::vector<std::pair<int64_t, Value>> terms;
    for (int t = 0; t < 2; ++t) {
      wrt.push_back(g.input(kernels::text(name, t), {2, 4, 4, 8}));
      terms.emplace_back(t, autograd::batch_norm(g, wrt.back(), {}));
    }
    mixes.push_back(autograd::mix(g, wrt[wrt.size() - 3], terms));
  }
  auto ops = backward_ops(g, autograd::add(g, mixes[0], mixes[1]), wrt);
  EXPECT_EQ(ops["mix_reduce"], 2);
  EXPECT_EQ(ops["bn_reduce"] + ops["mix_weight_grad"], 0);
}

}  // namespace
}  // namespace mixop::test
