// Global average pooling of images from one pixel up, channels around the vector length, slices.
#pragma once

#include "autograd/ops/concat.h"
#include "autograd/ops/global_pool.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> global_pool_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const Shape& x : std::vector<Shape>{{1, 1, 1, 1},
                                           {3, 1, 1, 17},
                                           {2, 4, 6, 4},
                                           {2, 5, 3, 8},
                                           {4, 8, 8, 16},
                                           {2, 7, 7, 33},
                                           {3, 8, 8, 64},
                                           {2, 4, 4, 108},
                                           {1, 37, 29, 16}})
    cases.push_back({kernels::text("global_avg_pool", x), {{"x", x}}, [](Graph& g, const Values& in) {
                       return Values{autograd::global_avg_pool(g, in[0])};
                     }});
  for (const int64_t c : {4, 16, 17})
    cases.push_back({kernels::text("global_avg_pool side by side, channels ", c),
                     {{"a", {2, 3, 5, c}}, {"b", {2, 3, 5, 8}}},
                     [](Graph& g, const Values& in) {
                       const Value wide = autograd::concat(g, {in[0], in[1]}, 3);
                       const Value a = autograd::global_avg_pool(g, in[0]), y = autograd::global_avg_pool(g, wide);
                       return Values{autograd::concat(g, {a, y}, 1), y};
                     }});
  return cases;
}

}  // namespace mixop::test
