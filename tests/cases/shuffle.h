// Channel shuffles with every divisor as the number of groups.
#pragma once

#include "autograd/ops/concat.h"
#include "autograd/ops/shuffle.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> shuffle_cases() {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const int64_t c : {1, 6, 16, 17, 36, 108}) {
    for (int64_t groups = 1; groups <= c; ++groups) {
      if (c % groups) continue;
      const kernels::Shape s{2, 3, 5, c};
      cases.push_back(
          {kernels::text("channel_shuffle", s, " by ", groups), {{"x", s}}, [groups](Graph& g, const Values& in) {
             return Values{autograd::channel_shuffle(g, in[0], groups)};
           }});
    }
  }
  cases.push_back({"channel_shuffle of many rows", {{"x", {30001, 35}}}, [](Graph& g, const Values& in) {
                     return Values{autograd::channel_shuffle(g, in[0], 5)};
                   }});
  // A slice is shuffled into a slice; the gradient is added to another.
  cases.push_back({"channel_shuffle of a slice", {{"x", {3, 20}}}, [](Graph& g, const Values& in) {
                     const Value part = autograd::slice(g, in[0], 5, 12);
                     return Values{autograd::concat(g, {in[0], autograd::channel_shuffle(g, part, 3)})};
                   }});
  return cases;
}

}  // namespace mixop::test
