// Softmax and its logarithm over every axis, also of large numbers.
#pragma once

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/softmax.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> softmax_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<std::pair<Shape, int>> problems = {{{1}, 0},       {{33}, -1},    {{14, 8}, -1},  {{14, 8}, 0},
                                                 {{3, 1}, 1},    {{64, 10}, 1}, {{5, 1000}, 1}, {{9, 300}, 0},
                                                 {{3, 1300}, 1}, {{1030, 2}, 0}};
  for (int axis = 0; axis < 5; ++axis) problems.push_back({{2, 3, 4, 5, 6}, axis});
  std::vector<Case> cases;
  for (const auto& [shape, axis] : problems) {
    cases.push_back(
        {kernels::text("softmax", shape, " over ", axis),
         {{"x", shape}},
         [axis = axis](Graph& g, const Values& in) { return Values{autograd::softmax(g, in[0], axis)}; }});
    cases.push_back(
        {kernels::text("log_softmax", shape, " over ", axis),
         {{"x", shape}},
         [axis = axis](Graph& g, const Values& in) { return Values{autograd::log_softmax(g, in[0], axis)}; }});
  }
  // exp overflows in both types unless the largest element is taken off first; a power of two adds no rounding.
  cases.push_back({"softmax of large numbers", {{"x", {3, 7}}}, [](Graph& g, const Values& in) {
                     const Value x = autograd::mul(g, in[0], autograd::constant(g, {1}, 1024));
                     return Values{autograd::softmax(g, x), autograd::log_softmax(g, x)};
                   }});
  return cases;
}

}  // namespace mixop::test
