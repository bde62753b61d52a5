// Gradient norms at the edges of a chunk. Steps write into stores and have no value to compare; the golden
// optimiser cases cover them.
#pragma once

#include "autograd/ops/optim.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> optim_cases() {
  using autograd::Graph;
  using autograd::Value;
  std::vector<Case> cases;
  for (const int64_t n : {1, 15, 16, 17, 16383, 16384, 16385, 100003, 1100003}) {
    cases.push_back(
        {kernels::text("grad_norm [", n, "]"),
         {{"x", {n}, CaseInput::Fill::kNormal, false}},
         [](Graph& g, const std::vector<Value>& in) { return std::vector{autograd::grad_norm(g, in[0])}; }});
  }
  return cases;
}

}  // namespace mixop::test
