// Sums, differences, products and quotients under every kind of broadcasting, and sums of many.
#pragma once

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> binary_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  constexpr std::pair<const char*, Value (*)(Graph&, Value, Value)> kOps[] = {
      {"add", autograd::add}, {"sub", autograd::sub}, {"mul", autograd::mul}};
  std::vector<Case> cases;
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{{{1}, {1}},
                                                                 {{17}, {17}},
                                                                 {{5}, {1}},
                                                                 {{3, 5, 7, 16}, {3, 5, 7, 16}},
                                                                 {{3, 5, 7, 33}, {33}},
                                                                 {{4, 8, 8, 36}, {1, 1, 1, 36}},
                                                                 {{64}, {2, 3, 64}},
                                                                 {{300, 17}, {17}},
                                                                 {{3, 1, 5}, {4, 1}},
                                                                 {{3, 4, 5}, {1}},
                                                                 {{2, 6, 6, 8}, {2, 1, 1, 8}},
                                                                 {{2, 1, 3, 1, 4}, {5, 1, 6, 1}},
                                                                 {{7, 1}, {1, 9}},
                                                                 {{8, 32, 32, 16}, {8, 32, 32, 16}},
                                                                 {{8, 32, 32, 16}, {16}}}) {
    for (const auto& [name, op] : kOps) {
      cases.push_back({kernels::text(name, a, b), {{"a", a}, {"b", b}}, [op = op](Graph& g, const Values& in) {
                         return Values{op(g, in[0], in[1])};
                       }});
    }
  }
  for (const auto& [a, b] : std::vector<std::pair<Shape, Shape>>{
           {{1}, {1}}, {{17}, {17}}, {{5, 33}, {1}}, {{4, 3, 16}, {16}}, {{3, 1, 5}, {4, 1}}, {{64}, {2, 3, 64}}}) {
    const CaseInput divisor{.name = "b", .shape = b, .fill = CaseInput::Fill::kPositive};
    cases.push_back({kernels::text("div", a, b), {{"a", a}, divisor}, [](Graph& g, const Values& in) {
                       return Values{autograd::div(g, in[0], in[1])};
                     }});
  }
  for (const auto& [name, op] : kOps) {
    // Both operands are one value: its two gradients are added.
    cases.push_back({kernels::text(name, " of itself"), {{"x", {3, 17}}}, [op = op](Graph& g, const Values& in) {
                       return Values{op(g, in[0], op(g, in[0], in[0]))};
                     }});
    // Channel slices have a row stride of their own.
    cases.push_back({kernels::text(name, " of slices"),
                     {{"x", {3, 5, 36}}, {"y", {3, 5, 40}}, {"v", {32}}},
                     [op = op](Graph& g, const Values& in) {
                       const Value x = autograd::slice(g, in[0], 1, 32), y = autograd::slice(g, in[1], 5, 32);
                       return Values{autograd::concat(g, {op(g, x, y), op(g, x, in[2])})};
                     }});
  }
  for (const Shape& s : {Shape{1}, {33}, {4, 7, 7, 17}}) {
    cases.push_back({kernels::text("sum", s), {{"a", s}, {"b", s}, {"c", s}}, [](Graph& g, const Values& in) {
                       return Values{autograd::sum(g, {in[0], in[1], in[2], in[1]}), autograd::sum(g, {in[2]})};
                     }});
  }
  return cases;
}

}  // namespace mixop::test
