// The operations of the DARTS supernet at batch 64, C = 16, in the sizes in which they occur.
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "tests/support/case.h"

namespace mixop::bench {

inline test::Case conv_case(const std::string& name, int64_t h, int64_t c, int64_t k, int kernel, int stride,
                            int dilation, bool depthwise) {
  kernels::Conv2dAttrs a;
  a.kernel = {kernel, kernel};
  a.stride = {stride, stride};
  a.dilation = {dilation, dilation};
  a.pad_begin = a.pad_end = {dilation * (kernel / 2), dilation * (kernel / 2)};
  a.groups = depthwise ? c : 1;
  const std::string size = kernels::text("/", h, "x", h, "x", c);
  return {.name = name + size,
          .inputs = {{.name = "x", .shape = {64, h, h, c}},
                     {.name = "w", .shape = {kernel, kernel, depthwise ? 1 : c, k}}},
          .build = [a](autograd::Graph& g, const std::vector<autograd::Value>& in) -> std::vector<autograd::Value> {
            return {autograd::conv2d(g, autograd::relu(g, in[0]), in[1], a)};
          }};
}

inline std::vector<test::Case> darts_cases() {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  std::vector<test::Case> cases;
  cases.push_back(conv_case("stem_3x3", 32, 3, 48, 3, 1, 1, false));
  for (const auto& [h, c] : {std::pair<int64_t, int64_t>{32, 16}, {16, 32}, {8, 64}}) {
    cases.push_back(conv_case("depthwise_3x3", h, c, c, 3, 1, 1, true));
    cases.push_back(conv_case("depthwise_5x5", h, c, c, 5, 1, 1, true));
    cases.push_back(conv_case("dilated_3x3", h, c, c, 3, 1, 2, true));
    cases.push_back(conv_case("dilated_5x5", h, c, c, 5, 1, 2, true));
    cases.push_back(conv_case("depthwise_5x5_stride2", h, c, c, 5, 2, 1, true));
    cases.push_back(conv_case("pointwise", h, c, c, 1, 1, 1, false));
    cases.push_back(conv_case("preprocess", h, 4 * c, c, 1, 1, 1, false));
    const std::string size = kernels::text("/", h, "x", h, "x", c);
    const kernels::Shape x{64, h, h, c};
    cases.push_back(
        {.name = "batch_norm" + size,
         .inputs = {{.name = "x", .shape = x}},
         .build = [](Graph& g, const Values& in) -> Values { return {autograd::batch_norm(g, in[0], {})}; }});
    cases.push_back(
        {.name = "max_pool" + size,
         .inputs = {{.name = "x", .shape = x}},
         .build = [](Graph& g, const Values& in) -> Values { return {autograd::max_pool(g, in[0], {})}; }});
    cases.push_back(
        {.name = "avg_pool" + size,
         .inputs = {{.name = "x", .shape = x}},
         .build = [](Graph& g, const Values& in) -> Values { return {autograd::avg_pool(g, in[0], {})}; }});
    cases.push_back({.name = "mix_of_8" + size,
                     .inputs = {{.name = "table", .shape = {1, 8}},
                                {.name = "a", .shape = x},
                                {.name = "b", .shape = x},
                                {.name = "c", .shape = x},
                                {.name = "d", .shape = x},
                                {.name = "e", .shape = x},
                                {.name = "f", .shape = x},
                                {.name = "g", .shape = x},
                                {.name = "h", .shape = x}},
                     .build = [](Graph& g, const Values& in) -> Values {
                       std::vector<std::pair<int64_t, Value>> terms;
                       for (int64_t k = 0; k < 8; ++k) terms.push_back({k, autograd::batch_norm(g, in[k + 1], {})});
                       return {autograd::mix(g, in[0], terms)};
                     }});
  }
  return cases;
}

}  // namespace mixop::bench
