// Every activation by name; relu on the shapes at the edges of its bands, alone and where its gradient is added to
// another.
#pragma once

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/unary.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> unary_cases() {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const char* name : {"relu", "sigmoid", "tanh", "identity", "gelu", "silu", "swish", "relu6", "hardswish",
                           "hardsigmoid", "leaky_relu", "elu", "softplus"}) {
    for (const kernels::Shape& s : {kernels::Shape{1}, {3, 17}, {2, 5, 5, 33}}) {
      // Scaled, so that the bends at 3 and 6 are passed as well.
      cases.push_back({kernels::text(name, s), {{"x", s}}, [name](Graph& g, const Values& in) {
                         const Value wide = autograd::sum(g, {in[0], in[0], in[0]});
                         return Values{autograd::activation(g, wide, name), autograd::activation(g, in[0], name)};
                       }});
    }
  }
  for (const int64_t c : {1, 4, 8, 15, 16, 17, 31, 32, 33, 36, 64, 108}) {
    const kernels::Shape s{2, 5, 7, c};
    cases.push_back({kernels::text("relu twice", s), {{"x", s}}, [](Graph& g, const Values& in) {
                       return Values{autograd::relu(g, in[0]), autograd::relu(g, in[0])};
                     }});
    // Channel slices: operands with a row stride of their own.
    cases.push_back(
        {kernels::text("relu of a slice", s), {{"x", {2, 5, 7, c + 3}}}, [c](Graph& g, const Values& in) {
           const Value part = autograd::slice(g, in[0], 2, c);
           return Values{autograd::concat(g, {autograd::relu(g, part), in[0]})};
         }});
  }
  for (const kernels::Shape& s : {kernels::Shape{1, 1, 1, 16}, {70001}, {2, 33, 31, 36}, {8, 32, 32, 16}}) {
    cases.push_back({kernels::text("relu", s), {{"x", s}}, [](Graph& g, const Values& in) {
                       return Values{autograd::relu(g, in[0])};
                     }});
  }
  return cases;
}

}  // namespace mixop::test
