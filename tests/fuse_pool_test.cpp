// What the pass makes of poolings with a batch norm behind them, and running statistics that share one norm.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "autograd/params.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "tests/cases/pool.h"
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
    const kernels::View to = plan.input("x");
    for (int64_t i = 0; i < to.shape.elements(); ++i) {
      const double v = static_cast<float>(2 + kernels::normal(9, step, static_cast<uint64_t>(i)));
      if (real == DType::kF64) to.as<double>()[i] = v;
      else to.as<float>()[i] = static_cast<float>(v);
    }
    plan.run();
  }
  std::vector<double> values;
  const kernels::View all = state.flat();
  for (int64_t i = 0; i < state.elements(); ++i)
    values.push_back(real == DType::kF64 ? all.as<double>()[i] : double{all.as<float>()[i]});
  return values;
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
