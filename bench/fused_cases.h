// The fused operations of the DARTS supernet at batch 64, C = 16, as compositions that the passes fuse. X/HxWxC is
// forward and all gradients as in a weight step, X_data without those of the weights as in an architecture step,
// X_forward alone.
#pragma once

#include <string_view>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/unary.h"
#include "tests/cases/pool_direct.h"
#include "tests/cases/separable.h"

namespace mixop::bench {

/// The same case in which only the inputs that are named so are differentiated.
inline test::Case only(test::Case c, std::initializer_list<std::string_view> names) {
  for (test::CaseInput& in : c.inputs)
    in.differentiate = std::find(names.begin(), names.end(), in.name) != names.end();
  return c;
}

inline void add_three(std::vector<test::Case>& cases, const std::string& name, const std::string& size,
                      test::Case c) {
  const auto add = [&](const char* suffix, test::Case added) {
    added.name = name + suffix + size;
    cases.push_back(std::move(added));
  };
  add("_forward", only(c, {}));
  add("_data", only(c, {"x", "table"}));
  add("", std::move(c));
}

/// All that is summed over the gradient of a node with two edges, each of two poolings and four convolutions with
/// their norms and a skip, as the fused operation itself.
inline test::Case mix_reduce_case(const kernels::Shape& x) {
  using autograd::Graph;
  using autograd::Value;
  using Fill = test::CaseInput::Fill;
  test::Case c{
      .name = "", .inputs = {{.name = "gradient", .shape = x}, {.name = "table", .shape = {2, 8}}}, .build = {}};
  kernels::MixReduceAttrs attrs;
  attrs.table = attrs.dtable = true;
  for (int t = 0; t < 14; ++t) {
    const bool skip = t % 7 == 2;
    attrs.terms.push_back({{t / 7 * 8 + 1 + t % 7, {!skip, false, false}}, true, !skip, !skip});
    c.inputs.push_back({.name = kernels::text("z", t), .shape = x});
    if (skip) continue;
    c.inputs.push_back({.name = kernels::text("mean", t), .shape = {x.last()}});
    c.inputs.push_back({.name = kernels::text("rstd", t), .shape = {x.last()}, .fill = Fill::kPositive});
  }
  c.build = [attrs](Graph& g, const std::vector<Value>& in) { return g.add(autograd::kMixReduce, in, attrs); };
  return only(c, {});
}

/// Both pools of a state, and the skip where there is one, with the gradients of four nodes.
inline test::DirectPools pools_of(const kernels::Shape& x, int stride) {
  return {.xs = {x}, .pool = {.stride = {stride, stride}}, .gradients = 4, .table = true, .skip = stride == 1};
}

/// What a cell does with each of its inputs first: relu, 1x1 convolution to fewer channels, norm.
inline test::Case preprocess_case(const kernels::Shape& x, int64_t channels) {
  return {.name = "",
          .inputs = {{.name = "x", .shape = x}, {.name = "w", .shape = {1, 1, x.last(), channels}}},
          .build = [](autograd::Graph& g, const std::vector<autograd::Value>& in) {
            const autograd::Value z = autograd::conv2d(g, autograd::relu(g, in[0]), in[1], {});
            return std::vector<autograd::Value>{autograd::batch_norm(g, z, {})};
          }};
}

inline std::vector<test::Case> fused_cases() {
  std::vector<test::Case> cases;
  for (const auto& [h, c] : {std::pair<int64_t, int64_t>{32, 16}, {16, 32}, {8, 64}}) {
    const kernels::Shape x{64, h, h, c};
    const std::string size = kernels::text("/", h, "x", h, "x", c);
    add_three(cases, "separable_3x3", size, test::separable_case(x, {3, 1, 1, 2}));
    add_three(cases, "separable_5x5", size, test::separable_case(x, {5, 1, 1, 2}));
    add_three(cases, "separable_dilated_3x3", size, test::separable_case(x, {3, 1, 2, 1}));
    add_three(cases, "separable_dilated_5x5", size, test::separable_case(x, {5, 1, 2, 1}));
    add_three(cases, "separable_edge", size, test::separable_edges_case(x, 1, 1, false));
    add_three(cases, "preprocess", kernels::text("/", h, "x", h, "x", 4 * c),
              preprocess_case({64, h, h, 4 * c}, c));
    const auto add = [&](const std::string& name, test::Case added) {
      added.name = name + size;
      cases.push_back(std::move(added));
    };
    add("mix_reduce", mix_reduce_case(x));
    for (const int stride : {1, 2}) {
      const char* suffix = stride == 1 ? "" : "_stride2";
      add(kernels::text("pool_stats", suffix), test::DirectPoolCase(pools_of(x, stride)).forward());
      add(kernels::text("pool_stats_grad", suffix), test::DirectPoolCase(pools_of(x, stride)).backward(false));
    }
  }
  return cases;
}

}  // namespace mixop::bench
