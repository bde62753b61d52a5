// Sums, means and maxima over every set of axes.
#pragma once

#include "autograd/ops/reduce.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> reduce_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Op = Value (*)(Graph&, Value, const std::vector<int>&, bool);
  constexpr std::pair<const char*, Op> kOps[] = {{"reduce_sum", autograd::reduce_sum},
                                                 {"reduce_mean", autograd::reduce_mean},
                                                 {"reduce_max", autograd::reduce_max}};
  std::vector<std::pair<Shape, std::vector<int>>> problems = {
      {{1}, {0}}, {{17}, {}}, {{8, 32, 32, 16}, {1, 2}}, {{8, 32, 32, 16}, {-1}}, {{2, 3, 2, 3, 4}, {0, 2, -1}}};
  for (int set = 0; set < 8; ++set) {  // all subsets of three axes
    std::vector<int> axes;
    for (int k = 0; k < 3; ++k)
      if (set >> k & 1) axes.push_back(k);
    problems.push_back({{3, 5, 17}, axes});
  }
  std::vector<Case> cases;
  for (const auto& [shape, axes] : problems) {
    for (const auto& [name, op] : kOps) {
      for (const bool keepdims : {false, true}) {
        std::string label = kernels::text(name, shape, keepdims ? " keepdims over" : " over");
        for (const int a : axes) label += kernels::text(' ', a);
        cases.push_back(
            {label, {{"x", shape}}, [op = op, axes = axes, keepdims](Graph& g, const std::vector<Value>& in) {
               return std::vector{op(g, in[0], axes, keepdims)};
             }});
      }
    }
  }
  return cases;
}

}  // namespace mixop::test
