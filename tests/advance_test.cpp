// Ops that write into a store, counters and assignments: when they do, in which types, and what they refuse.
#include <gtest/gtest.h>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/plan.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Plan;
using autograd::TensorStore;
using autograd::Value;
using kernels::DType;

TEST(Advance, NodesBeforeItReadTheOldCountLaterOnesTheNew) {
  for (const DType real : {DType::kF32, DType::kF64}) {
    TensorStore state("state", real);
    Graph g(real);
    const Value counter = g.tensor(state, "counter", {1});
    const Value before = autograd::copy(g, counter), count = autograd::advance(g, counter);
    const Value after = autograd::copy(g, counter);
    Plan plan(g, {before, count, after});
    for (int run = 0; run < 3; ++run) {
      plan.run();
      EXPECT_EQ(plan.scalar(before), run);
      EXPECT_EQ(plan.scalar(after), run + 1);
      EXPECT_EQ(state.get("counter"), run + 1);
    }
  }
}

TEST(Advance, CountsInIntegers) {
  TensorStore state("state", DType::kI32);
  Graph g;
  const Value count = autograd::advance(g, g.tensor(state, "counter", {1}));
  Plan plan(g, {count});
  for (int run = 0; run < 5; ++run) plan.run();
  EXPECT_EQ(state.get("counter"), 5);
}

TEST(Advance, RefusesWhatIsNoCounter) {
  TensorStore state("state", DType::kF32);
  Graph g;
  EXPECT_THROW(autograd::advance(g, g.tensor(state, "pair", {2})), Error);
  EXPECT_THROW(autograd::advance(g, g.input("x", {1})), Error);
}

TEST(Assign, NodesBeforeItReadTheOldValue) {
  for (const DType real : {DType::kF32, DType::kF64}) {
    TensorStore state("state", real);
    Graph g(real);
    const Value x = g.tensor(state, "x", {3, 5}, autograd::Init::constant(2));
    const Value before = autograd::copy(g, x), written = autograd::assign(g, x, autograd::add(g, x, x));
    const Value after = autograd::copy(g, x);
    Plan plan(g, {before, written, after});
    for (int run = 0; run < 3; ++run) {
      plan.run();
      const auto last = [&](const kernels::View& v) {
        return real == DType::kF64 ? v.as<double>()[14] : double{v.as<float>()[14]};
      };
      EXPECT_EQ(last(plan.output(before)), 2 << run);
      EXPECT_EQ(last(plan.output(after)), 4 << run);
      EXPECT_EQ(last(state.view(0)), 4 << run);
    }
  }
}

TEST(Assign, RefusesOtherShapesAndWhatIsInNoStore) {
  TensorStore state("state", DType::kF32);
  Graph g;
  const Value x = g.tensor(state, "x", {3}), y = g.input("y", {3}), longer = g.input("z", {4});
  EXPECT_THROW(autograd::assign(g, x, longer), Error);
  EXPECT_THROW(autograd::assign(g, y, x), Error);
}

}  // namespace
}  // namespace mixop::test
