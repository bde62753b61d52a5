// Joins, slices and reshapes along every axis.
#pragma once

#include "autograd/ops/concat.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> concat_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const Shape& s : {Shape{5}, {3, 4}, {2, 3, 5, 7}, {3, 2, 4, 3, 2}, {4, 16, 16, 36}}) {
    for (int axis = 0; axis < s.rank(); ++axis) {
      Shape other = s;
      other[axis] = 1;
      cases.push_back({kernels::text("concat", s, " on ", axis),
                       {{"a", s}, {"b", other}, {"c", s}},
                       [axis](Graph& g, const Values& in) { return Values{autograd::concat(g, in, axis)}; }});
      // Overlapping slices: their gradients add up.
      cases.push_back({kernels::text("slice", s, " on ", axis), {{"x", s}}, [s, axis](Graph& g, const Values& in) {
                         return Values{autograd::slice_axis(g, in[0], axis, 0, s[axis] / 2 + 1),
                                       autograd::slice_axis(g, in[0], axis - s.rank(), s[axis] / 2, 1)};
                       }});
    }
    cases.push_back({kernels::text("reshape", s), {{"x", s}}, [s](Graph& g, const Values& in) {
                       return Values{autograd::reshape(g, in[0], {s.elements()}),
                                     autograd::reshape(g, in[0], {s.last(), s.rows(), 1})};
                     }});
    cases.push_back({kernels::text("pack", s),
                     {{"a", s, CaseInput::Fill::kNormal, false}, {"b", {3, 17}, CaseInput::Fill::kNormal, false}},
                     [](Graph& g, const Values& in) {
                       return Values{autograd::pack(g, {in[0], in[1], in[0]})};
                     }});
  }
  // Several elements a thread.
  cases.push_back({"concat and slice of many elements",
                   {{"a", {1031, 1021}}, {"b", {2, 1021}}},
                   [](Graph& g, const Values& in) {
                     const Value y = autograd::concat(g, in, 0);
                     return Values{y, autograd::slice_axis(g, y, 0, 1, 1030)};
                   }});
  return cases;
}

}  // namespace mixop::test
