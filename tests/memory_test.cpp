// Property: whatever the graph, buffers that live at the same step do not overlap, and outputs live to the end.
#include <gtest/gtest.h>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/unary.h"
#include "autograd/passes/passes.h"
#include "kernels/core/rng.h"
#include "nas/search/darts.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Plan;
using autograd::Slot;
using autograd::Value;

void expect_no_overlap(const std::vector<Slot>& slots) {
  for (size_t i = 0; i < slots.size(); ++i)
    for (size_t j = i + 1; j < slots.size(); ++j) {
      const Slot &a = slots[i], &b = slots[j];
      if (a.first > b.last || b.first > a.last) continue;
      ASSERT_TRUE(a.begin + a.bytes <= b.begin || b.begin + b.bytes <= a.begin)
          << a.name << " and " << b.name << " share bytes while both live";
    }
}

/// A random graph of elementwise ops, sums, concatenations and slices over [rows, c] tensors, with its gradient.
std::vector<Value> random_graph(Graph& g, uint64_t seed) {
  uint64_t at = 0;
  const auto pick = [&](int64_t n) {
    return static_cast<int64_t>(kernels::uniform(seed, 1, at++) * static_cast<double>(n));
  };
  const Value x = g.input("x", {4, 6});
  std::vector<Value> values = {x, autograd::relu(g, x)};
  for (int i = 0; i < 25; ++i) {
    const Value v = values[pick(static_cast<int64_t>(values.size()))];
    const int64_t c = g.shape(v).last();
    switch (pick(5)) {
      case 0:
        values.push_back(autograd::relu(g, v));
        break;
      case 1:
        values.push_back(autograd::sum(g, {v, v, autograd::relu(g, v)}));
        break;
      case 2:
        if (c < 40) values.push_back(autograd::concat(g, {v, autograd::relu(g, v)}, 1));
        break;
      case 3:
        if (c > 2) values.push_back(autograd::slice(g, v, 1, c - 2));
        break;
      default:
        values.push_back(autograd::mul(g, v, v));
        break;
    }
  }
  const Value loss = autograd::reduce_sum(g, values.back(), {0, 1}, false);
  std::vector<Value> asked = {loss, values[values.size() / 2]};
  for (const Value dx : autograd::gradients(g, loss, {x}))
    if (dx) asked.push_back(dx);
  return asked;
}

TEST(Memory, RandomGraphsDoNotOverlap) {
  size_t saved_bytes = 0;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    Graph g;
    std::vector<Value> asked = random_graph(g, seed);
    const Plan plan(g, asked);
    expect_no_overlap(plan.slots());
    size_t apart = 0;
    for (const Slot& s : plan.slots()) apart += s.bytes;
    EXPECT_LE(plan.memory().arena, apart);
    saved_bytes += apart - plan.memory().arena;
  }
  EXPECT_GT(saved_bytes, 0u) << "nothing was ever reused";
}

TEST(Memory, PlannedEqualsPinnedOnRandomGraphs) {
  for (uint64_t seed = 0; seed < 60; ++seed) {
    std::vector<std::vector<float>> results[2];
    for (const bool pinned : {false, true}) {
      Graph g;
      const std::vector<Value> asked = random_graph(g, seed);
      Plan plan(
          g, asked, nullptr,
          {.mode = pinned ? autograd::CompileOptions::Mode::kPinned : autograd::CompileOptions::Mode::kPlanned,
           .poison = true});
      const kernels::View x = plan.input("x");
      for (int i = 0; i < 24; ++i) x.as<float>()[i] = static_cast<float>(kernels::normal(3, 0, i));
      plan.run();
      for (const Value v : asked) {
        const kernels::View out = plan.output(v);
        std::vector<float> copy;
        for (int64_t r = 0; r < out.rows(); ++r)
          copy.insert(copy.end(), out.as<float>() + r * out.ld, out.as<float>() + r * out.ld + out.last());
        results[pinned].push_back(copy);
      }
    }
    EXPECT_EQ(results[0], results[1]) << "seed " << seed;
  }
}

TEST(Memory, SupernetPlansDoNotOverlap) {
  nas::DartsOptions o;
  o.net = {.channels = 4, .cells = 3, .height = 16, .width = 16};
  const nas::DartsSearch search(o, {{2}, {2}, {2}});
  expect_no_overlap(search.weight_plan().slots());
  expect_no_overlap(search.arch_plan().slots());
  expect_no_overlap(search.eval_plan().slots());
}

TEST(Memory, PinnedModeNamesTheNodeOfANan) {
  Graph g;
  const Graph::Scope scope(g, "here");
  const Value y = autograd::relu(g, g.input("x", {1, 2}));
  Plan plan(g, {autograd::mul(g, y, y)}, nullptr, {.mode = autograd::CompileOptions::Mode::kPinned});
  plan.input("x").as<float>()[1] = std::nanf("");
  try {
    plan.run();
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("relu"), std::string::npos) << e.what();
    EXPECT_NE(std::string(e.what()).find("here"), std::string::npos) << e.what();
  }
}

}  // namespace
}  // namespace mixop::test
