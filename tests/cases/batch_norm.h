// Batch normalisation: training and evaluation, with and without affine, channels around the vector length,
// one-pixel images, slices of a wider tensor, a gradient scaled by a table on load (through mix).
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/mix.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> batch_norm_cases() {
  using autograd::BatchNorm;
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  const std::vector<Shape> shapes = {{5, 1, 1, 3},    {5, 1},          {7, 4},         {3, 5, 7, 4},
                                     {2, 9, 9, 8},    {4, 8, 8, 16},   {1, 3, 5, 16},  {2, 13, 11, 17},
                                     {3, 16, 17, 32}, {2, 7, 9, 33},   {2, 8, 8, 36},  {2, 9, 8, 64},
                                     {2, 5, 5, 108},  {9, 32, 32, 16}, {2, 3, 3, 5, 6}};
  for (const Shape& x : shapes) {
    const Shape c{x.last()};
    cases.push_back({kernels::text("batch_norm", x), {{"x", x}}, [](Graph& g, const Values& in) {
                       return Values{autograd::batch_norm(g, in[0], {})};
                     }});
    cases.push_back({kernels::text("batch_norm", x, " affine"),
                     {{"x", x}, {"gamma", c}, {"beta", c}},
                     [](Graph& g, const Values& in) {
                       BatchNorm bn;
                       bn.gamma = in[1];
                       bn.beta = in[2];
                       return Values{autograd::batch_norm(g, in[0], bn)};
                     }});
    const CaseInput mean{.name = "mean", .shape = c, .differentiate = false};
    const CaseInput var{.name = "var", .shape = c, .fill = CaseInput::Fill::kPositive, .differentiate = false};
    cases.push_back(
        {kernels::text("batch_norm", x, " evaluation"), {{"x", x}, mean, var}, [](Graph& g, const Values& in) {
           BatchNorm bn;
           bn.running_mean = in[1];
           bn.running_var = in[2];
           bn.training = false;
           return Values{autograd::batch_norm(g, in[0], bn)};
         }});
    cases.push_back({kernels::text("batch_norm", x, " evaluation affine"),
                     {{"x", x}, mean, var, {"gamma", c}, {"beta", c}},
                     [](Graph& g, const Values& in) {
                       BatchNorm bn{.gamma = in[3], .beta = in[4], .running_mean = in[1], .running_var = in[2]};
                       bn.eps = 1e-3;
                       bn.training = false;
                       return Values{autograd::batch_norm(g, in[0], bn)};
                     }});
  }
  // So many rows that a thread of any kernel walks over several tiles of them, and that a device merges their sums
  // in two rounds.
  for (const Shape& x : {Shape{3, 419, 419, 1}, Shape{65, 64, 31}})
    cases.push_back({kernels::text("batch_norm of many rows", x),
                     {{"x", x}, {"gamma", {x.last()}}, {"beta", {x.last()}}},
                     [](Graph& g, const Values& in) {
                       BatchNorm bn;
                       bn.gamma = in[1];
                       bn.beta = in[2];
                       return Values{autograd::batch_norm(g, in[0], bn)};
                     }});
  // The results are slices of one wider tensor, and the gradient of one arrives scaled.
  for (const int64_t c : {4, 16, 17})
    cases.push_back({kernels::text("batch_norm of slices, channels ", c),
                     {{"a", {2, 5, 6, c}}, {"b", {2, 5, 6, 8}}, {"table", {2, 3}}},
                     [](Graph& g, const Values& in) {
                       const Value a = autograd::batch_norm(g, in[0], {}), b = autograd::batch_norm(g, in[1], {});
                       return Values{autograd::concat(g, {autograd::scale(g, in[2], a, 4), b}, 3)};
                     }});
  // Evaluation of several norms, of two eps; their deviations are computed together, of more than one launch takes.
  for (const int norms : {3, 1200}) {
    Case many{kernels::text("batch_norm evaluation of ", norms, " norms"), {}, {}};
    for (int n = 0; n < norms; ++n) {
      const Shape c{norms > 3 ? 1 : 300 - 149 * n};
      many.inputs.push_back({.name = kernels::text("x", n), .shape = {2, c[0]}, .differentiate = norms == 3});
      many.inputs.push_back({.name = kernels::text("mean", n), .shape = c, .differentiate = false});
      many.inputs.push_back({.name = kernels::text("var", n),
                             .shape = c,
                             .fill = CaseInput::Fill::kPositive,
                             .differentiate = false});
    }
    many.build = [norms](Graph& g, const Values& in) {
      Values out;
      for (size_t n = 0; n < static_cast<size_t>(norms); ++n) {
        BatchNorm bn{.running_mean = in[3 * n + 1], .running_var = in[3 * n + 2]};
        bn.eps = n % 11 == 1 ? 1e-3 : 1e-5;
        bn.training = false;
        out.push_back(autograd::batch_norm(g, in[3 * n], bn));
      }
      return out;
    };
    cases.push_back(many);
  }
  // bn_reduce of several norms in one call, and of more than one launch takes.
  for (const size_t norms : {2, 3, 26}) {
    Case many{kernels::text("bn_reduce of ", norms, " norms"), {}, {}};
    for (size_t n = 0; n < norms; ++n) {
      const Shape &x = norms > 3 ? shapes[n % 3] : shapes[3 * n + 4], c{x.last()};
      const auto input = [&](const char* name, const Shape& shape,
                             CaseInput::Fill fill = CaseInput::Fill::kNormal) {
        many.inputs.push_back(
            {.name = kernels::text(name, n), .shape = shape, .fill = fill, .differentiate = false});
      };
      input("dy", x);
      input("x", x);
      input("mean", c);
      input("rstd", c, CaseInput::Fill::kPositive);
    }
    many.build = [norms](Graph& g, const Values& in) {
      kernels::BatchNormAttrs attrs;
      attrs.count = static_cast<int>(norms);
      return g.add(autograd::kBnReduce, in, attrs);
    };
    cases.push_back(many);
  }
  return cases;
}

}  // namespace mixop::test
