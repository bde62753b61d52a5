// Given and drawn masks, for elements and for samples, with fixed and changing keep probabilities.
#pragma once

#include "autograd/ops/concat.h"
#include "autograd/ops/dropout.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> dropout_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  using Fill = CaseInput::Fill;
  const CaseInput counter{"counter", {1}, Fill::kLabels, false, 1000};
  const CaseInput keep{"keep", {1}, Fill::kPositive, false};  // in (0.5, 1.5): above 1 keeps all
  std::vector<Case> cases;
  for (const Shape& s : {Shape{1}, {33}, {4, 6}, {3, 1}, {5, 7, 7, 17}, {6, 1, 1, 16}, {8, 32, 32, 36}}) {
    std::vector<Shape> masks = {s, {s[0]}};
    if (s.rank() == 4) masks.push_back({s[0], 1, 1, 1});
    for (const Shape& mask : masks) {
      for (const double p : {1.0, 0.7, 0.0}) {
        cases.push_back(
            {kernels::text("apply_mask", s, mask, " keep ", p),
             {{"x", s}, {"mask", mask, Fill::kMask, false}},
             [p](Graph& g, const Values& in) { return Values{autograd::apply_mask(g, in[0], in[1], p)}; }});
      }
      cases.push_back(
          {kernels::text("apply_mask", s, mask, " keep given"),
           {{"x", s}, {"mask", mask, Fill::kMask, false}, keep},
           [](Graph& g, const Values& in) { return Values{autograd::apply_mask(g, in[0], in[1], in[2])}; }});
    }
    cases.push_back({kernels::text("dropout", s), {{"x", s}, counter}, [](Graph& g, const Values& in) {
                       return Values{autograd::dropout(g, in[0], 0.6, 1, 2, in[1])};
                     }});
    cases.push_back({kernels::text("drop_path", s), {{"x", s}, counter, keep}, [](Graph& g, const Values& in) {
                       return Values{autograd::drop_path(g, in[0], in[2], 1, 3, in[1]),
                                     autograd::drop_path(g, in[0], 0.5, 1, 4, in[1])};
                     }});
  }
  // Several elements a thread.
  cases.push_back(
      {"dropout and drop_path of many elements", {{"x", {1031, 1021}}, counter}, [](Graph& g, const Values& in) {
         return Values{autograd::dropout(g, in[0], 0.6, 1, 2, in[1]),
                       autograd::drop_path(g, in[0], 0.5, 1, 4, in[1])};
       }});
  // One mask number a sample, a row of 3 apart.
  cases.push_back({"apply_mask of a slice",
                   {{"x", {7, 3, 2, 5}}, {"masks", {7, 1, 1, 3}, Fill::kMask, false}},
                   [](Graph& g, const Values& in) {
                     return Values{autograd::apply_mask(g, in[0], autograd::slice(g, in[1], 1, 1), 0.5)};
                   }});
  cases.push_back({"dropout of a slice", {{"x", {5, 3, 20}}, counter}, [](Graph& g, const Values& in) {
                     const Value part = autograd::slice(g, in[0], 3, 16);
                     return Values{autograd::concat(g, {autograd::dropout(g, part, 0.5, 7, 0, in[1]),
                                                        autograd::drop_path(g, part, 0.5, 7, 1, in[1]), in[0]})};
                   }});
  return cases;
}

}  // namespace mixop::test
