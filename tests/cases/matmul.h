// Every pair of transposes at the edges of the product's tiles and blocks; depths that are split into partial sums;
// operands and results that are column slices.
#pragma once

#include "autograd/ops/concat.h"
#include "autograd/ops/matmul.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> matmul_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  const auto add = [&](int64_t m, int64_t n, int64_t k, bool ta, bool tb) {
    const Shape a = ta ? Shape{k, m} : Shape{m, k}, b = tb ? Shape{n, k} : Shape{k, n};
    cases.push_back({kernels::text("matmul", a, ta ? "'" : "", b, tb ? "'" : ""),
                     {{"a", a}, {"b", b}},
                     [ta, tb](Graph& g, const Values& in) { return Values{matmul(g, in[0], in[1], ta, tb)}; }});
  };
  for (const bool ta : {false, true}) {
    for (const bool tb : {false, true}) {
      add(1, 1, 1, ta, tb);
      add(7, 17, 5, ta, tb);
      add(97, 33, 16, ta, tb);
      add(12, 32, 513, ta, tb);
      add(3, 10, 1025, ta, tb);  // depth in two parts
      add(4033, 33, 33, ta, tb);
    }
  }
  for (const int64_t size : {4, 8, 15, 16, 31, 32, 36, 64, 108, 129}) add(5, size, size, false, true);
  for (const int64_t rows : {11, 12, 13, 16, 24, 95, 96, 192}) add(rows, 16, 8, false, false);
  add(3, 5, 9000, true, false);  // as many parts of the depth as a device merges in two rounds
  cases.push_back({"linear [64,48] to 10", {{"x", {64, 48}}, {"w", {10, 48}}}, [](Graph& g, const Values& in) {
                     return Values{linear(g, in[0], in[1])};
                   }});
  // The same operand twice: its two gradients are summed.
  cases.push_back({"matmul of one operand with itself", {{"a", {9, 9}}}, [](Graph& g, const Values& in) {
                     return Values{matmul(g, in[0], in[0], false, true)};
                   }});
  cases.push_back(
      {"matmul of column slices", {{"a", {13, 30}}, {"b", {13, 21}}}, [](Graph& g, const Values& in) {
         const Value a = autograd::slice(g, in[0], 3, 17), b = autograd::slice(g, in[1], 1, 18);
         return Values{autograd::concat(g, {matmul(g, a, b, true, false), matmul(g, a, a, true, false)})};
       }});
  return cases;
}

}  // namespace mixop::test
