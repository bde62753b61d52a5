// Pooling: kernels, strides, padding, dilation and ceil mode on images from one pixel to several vectors a row; and
// with a batch norm behind it, as the fusion pass finds it.
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "tests/cases/pool_direct.h"
#include "tests/support/case.h"

namespace mixop::test {

inline autograd::Value pool_of(autograd::Graph& g, autograd::Value x, bool max, const autograd::PoolAttrs& a) {
  return max ? autograd::max_pool(g, x, a) : autograd::avg_pool(g, x, a);
}

/// Pooling and batch norm, whose result is an output, a term of one mixture, or a term of two with different
/// weights (the arriving gradient is then as it is, scaled on load, or a sum).
inline std::vector<Case> pooled_norm_cases(const kernels::Shape& x, bool max, const autograd::PoolAttrs& a) {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  const std::string what = kernels::text(max ? "max_pool" : "avg_pool", " and batch_norm", x, " kernel ",
                                         a.kernel[0], "x", a.kernel[1], " stride ", a.stride[0], "x", a.stride[1]);
  const auto normed = [=](Graph& g, Value v) { return autograd::batch_norm(g, pool_of(g, v, max, a), {}); };
  return {{what, {{"x", x}}, [=](Graph& g, const Values& in) { return Values{normed(g, in[0])}; }},
          {what + " in a mixture",
           {{"x", x}, {"table", {2, 4}}},
           [=](Graph& g, const Values& in) {
             return Values{autograd::mix(g, in[1], {{6, normed(g, in[0])}})};
           }},
          {what + " in two mixtures", {{"x", x}, {"table", {2, 4}}}, [=](Graph& g, const Values& in) {
             const Value y = normed(g, in[0]);
             return Values{autograd::mix(g, in[1], {{1, y}}), autograd::mix(g, in[1], {{6, y}, {3, y}})};
           }}};
}

/// The way back through the norm and max_pool where nearly every window has several maxima.
inline Case pooled_norm_of_ties(const kernels::Shape& x, const autograd::PoolAttrs& a) {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  const kernels::Shape y{x[0], kernels::PoolAxis(a, x, 0).outputs(), kernels::PoolAxis(a, x, 1).outputs(), x[3]};
  const auto zeros_and_ones = [&](const char* name) {
    return CaseInput{.name = name, .shape = x, .fill = CaseInput::Fill::kMask, .differentiate = false};
  };
  const CaseInput dy{.name = "dy", .shape = y, .differentiate = false};
  return {kernels::text("max_pool and batch_norm of ties", x, " stride ", a.stride[0]),
          {dy, zeros_and_ones("a"), zeros_and_ones("b"), zeros_and_ones("c")},
          [a](Graph& g, const Values& in) {
            const Value v = autograd::add(g, in[1], autograd::add(g, in[2], in[3]));
            const Value z = autograd::max_pool(g, v, a);
            const kernels::BatchNormAttrs norm;
            const Values stats = g.add(autograd::kBnStats, {z}, norm);
            const Values sums = g.add(autograd::kBnReduce, {in[0], z, stats[0], stats[2]}, norm);
            const Value dz = g.add(autograd::kBnGrad, {in[0], z, stats[0], stats[2], sums[0], sums[1]}, norm)[0];
            return Values{g.add(autograd::kMaxPoolGrad, {dz, v}, a)[0]};
          }};
}

inline void add_pooled_norm_cases(std::vector<Case>& cases) {
  using autograd::Graph;
  using autograd::PoolAttrs;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  const auto add = [&](const Shape& x, const PoolAttrs& a) {
    for (const bool max : {true, false})
      for (Case& c : pooled_norm_cases(x, max, a)) cases.push_back(std::move(c));
  };
  for (const int stride : {1, 2}) {
    const PoolAttrs a{.stride = {stride, stride}};
    for (const int64_t c : {1, 3, 16, 17, 36, 64}) {
      add({2, 7, 6, c}, a);
      cases.push_back(pooled_norm_of_ties({3, 8, 9, c}, a));
    }
    add({5, 1, 1, 16}, a);
    add({2, 1, 9, 8}, a);
    add({2, 12, 2, 4}, a);
    add({35, 4, 5, 16}, a);  // more images than tasks
    add({33, 3, 3, 17}, a);
    add({1, 40, 33, 16}, a);
  }
  add({2, 9, 8, 5}, {.kernel = {2, 2}, .stride = {2, 2}, .pad = {0, 0}, .ceil_mode = true});
  add({2, 9, 8, 16}, {.kernel = {5, 3}, .stride = {3, 2}, .pad = {2, 1}, .include_pad = true});
  for (const int stride : {1, 2})  // of what is normalised itself
    cases.push_back(
        {kernels::text("normed pools of a batch_norm, stride ", stride),
         {{"x", {3, 7, 6, 20}}},
         [=](Graph& g, const Values& in) {
           const Value x = autograd::batch_norm(g, in[0], {});
           Values normed;
           for (const bool max : {true, false})
             normed.push_back(autograd::batch_norm(g, pool_of(g, x, max, {.stride = {stride, stride}}), {}));
           return normed;
         }});
  // Of a slice, into a slice, and gradients that add up in x.
  for (const int64_t c : {4, 16, 17})
    for (const int stride : {1, 2})
      cases.push_back(
          {kernels::text("normed pools side by side, channels ", c, " stride ", stride),
           {{"x", {2, 7, 6, c + 4}}},
           [=](Graph& g, const Values& in) {
             const Value x = autograd::slice(g, in[0], 4, c);
             Values normed;
             for (const bool max : {true, false})
               normed.push_back(autograd::batch_norm(g, pool_of(g, x, max, {.stride = {stride, stride}}), {}));
             return Values{autograd::concat(g, normed, 3)};
           }});
}

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
      cases.push_back({"max_pool_take of ties" + what,
                       {{.name = "v", .shape = x, .differentiate = false}, ties},
                       [a](Graph& g, const Values& in) {
                         return Values{g.add(autograd::kMaxPoolTake, {in[0], in[1]}, a)[0]};
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
  add_pooled_norm_cases(cases);
  for (Case& c : pool_direct_cases()) cases.push_back(std::move(c));
  return cases;
}

}  // namespace mixop::test
