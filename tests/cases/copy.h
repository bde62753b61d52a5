// Copies of every rank and constants that take part in a product.
#pragma once

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> copy_cases() {
  using autograd::Graph;
  using autograd::Value;
  std::vector<Case> cases;
  for (const kernels::Shape& s : {kernels::Shape{1},
                                  {17},
                                  {3, 1},
                                  {5, 16},
                                  {2, 3, 33},
                                  {2, 7, 7, 36},
                                  {2, 1, 3, 1, 4},
                                  {8, 32, 32, 16},
                                  {1031, 1021}}) {
    cases.push_back({kernels::text("copy", s), {{"x", s}}, [](Graph& g, const std::vector<Value>& in) {
                       return std::vector{autograd::copy(g, in[0])};
                     }});
    cases.push_back(
        {kernels::text("constant", s), {{"x", s}}, [s](Graph& g, const std::vector<Value>& in) {
           return std::vector{autograd::mul(g, in[0], autograd::constant(g, s, -1.5)), autograd::zeros(g, s)};
         }});
  }
  return cases;
}

}  // namespace mixop::test
