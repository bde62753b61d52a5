// The relaxed draw at several sizes, and the hard one, whose values alone are compared: a difference of one-hots is
// no gradient (see tests/gumbel_softmax_test.cpp).
#pragma once

#include "autograd/ops/gumbel_softmax.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> gumbel_softmax_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const bool hard : {false, true})
    for (const Shape& shape : {Shape{1, 1}, Shape{14, 8}, Shape{3, 2}, Shape{2, 40}, Shape{5, 33}})
      cases.push_back(
          {kernels::text("gumbel_softmax", shape, hard ? " hard" : ""),
           {{.name = "alphas", .shape = shape, .differentiate = !hard},
            {.name = "noise", .shape = shape, .differentiate = false},
            {.name = "temperature", .shape = {1}, .fill = CaseInput::Fill::kPositive, .differentiate = false}},
           [hard](Graph& g, const Values& in) {
             return Values{autograd::gumbel_softmax(g, in[0], in[1], in[2], hard)};
           }});
  return cases;
}

}  // namespace mixop::test
