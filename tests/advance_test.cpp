// The counter op: when it counts, in which types, and what it refuses.
#include <gtest/gtest.h>

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

}  // namespace
}  // namespace mixop::test
