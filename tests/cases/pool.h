// Pooling: kernels, strides, padding, dilation and ceil mode on images from one pixel to several vectors a row.
#pragma once

#include "autograd/ops/concat.h"
#include "autograd/ops/pool.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> pool_cases() {
  using autograd::Graph;
  using autograd::PoolAttrs;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  const std::vector<Shape> shapes = {{1, 1, 1, 1},  {2, 4, 4, 3},   {1, 5, 1, 4},  {2, 7, 8, 4},   {1, 9, 6, 8},
                                     {3, 8, 8, 16}, {1, 13, 7, 17}, {2, 6, 5, 36}, {1, 40, 33, 16}};
  const std::vector<PoolAttrs> pools = {
      {},
      {.stride = {2, 2}},
      {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}},
      {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}, .ceil_mode = true},
      {.kernel = {5, 3}, .stride = {3, 2}, .pad = {2, 1}, .include_pad = true},
      {.kernel = {3, 3}, .stride = {2, 2}, .include_pad = true, .ceil_mode = true},
      {.kernel = {1, 4}, .stride = {3, 1}, .pad = {0, 2}},
      {.kernel = {1, 1}, .stride = {1, 1}, .pad = {0, 0}},
      {.kernel = {3, 2}, .stride = {1, 2}, .dilation = {2, 3}},
  };
  std::vector<Case> cases;
  for (const Shape& x : shapes)
    for (const PoolAttrs& a : pools) {
      const kernels::PoolAxis v(a, x, 0), h(a, x, 1);
      if (v.outputs() < 1 || h.outputs() < 1) continue;
      const Shape y{x[0], v.outputs(), h.outputs(), x[3]};
      const std::string what = kernels::text(x, " kernel ", a.kernel[0], "x", a.kernel[1], " stride ", a.stride[0],
                                             "x", a.stride[1], " pad ", a.pad[0], "x", a.pad[1], " dilation ",
                                             a.dilation[0], "x", a.dilation[1], a.ceil_mode ? " ceil" : "");
      cases.push_back({"max_pool" + what, {{"x", x}}, [a](Graph& g, const Values& in) {
                         return Values{autograd::max_pool(g, in[0], a)};
                       }});
      // Zeros and ones: nearly every window has several maxima.
      const CaseInput ties{.name = "x", .shape = x, .fill = CaseInput::Fill::kMask, .differentiate = false};
      const CaseInput dy{.name = "dy", .shape = y, .differentiate = false};
      cases.push_back({"max_pool_grad of ties" + what, {dy, ties}, [a](Graph& g, const Values& in) {
                         return Values{g.add(autograd::kMaxPoolGrad, {in[0], in[1]}, a)[0]};
                       }});
      if (a.dilation[0] > 1) continue;
      cases.push_back({(a.include_pad ? "avg_pool with padding" : "avg_pool") + what,
                       {{"x", x}},
                       [a](Graph& g, const Values& in) { return Values{autograd::avg_pool(g, in[0], a)}; }});
    }
  // Slices of a wider tensor, and two gradients that add up in x.
  for (const int64_t c : {4, 16, 17})
    cases.push_back(
        {kernels::text("pools side by side, channels ", c), {{"x", {2, 6, 7, c}}}, [](Graph& g, const Values& in) {
           const Value a = autograd::max_pool(g, in[0], {}), b = autograd::avg_pool(g, in[0], {});
           const Value wide = autograd::concat(g, {a, b}, 3);
           return Values{wide, autograd::max_pool(g, a, {.stride = {2, 2}}), autograd::avg_pool(g, b, {})};
         }});
  return cases;
}

}  // namespace mixop::test
