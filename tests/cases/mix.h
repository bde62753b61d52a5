// Mixed operations: plain terms, batch-normed and rectified ones (moved into the sum when fused), equal and missing
// elements of the table, many terms, results that are slices, norms that several mixtures share. Wherever a term is
// normed, the gradient holds the composite of mix_reduce.
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "tests/support/case.h"

namespace mixop::test {

/// A mix of `terms` candidates of shape x: every second one batch-normed, every fourth with gamma and beta, every
/// third rectified when `normed`.
inline Case mix_case(const kernels::Shape& x, const kernels::Shape& table, int terms, bool normed) {
  using autograd::Graph;
  using autograd::Value;
  Case c{kernels::text("mix", x, " of ", terms, normed ? " normed" : "", " table ", table), {{"table", table}}, {}};
  for (int t = 0; t < terms; ++t) c.inputs.push_back({kernels::text("z", t), x});
  c.inputs.push_back({"gamma", {x.last()}});
  c.inputs.push_back({"beta", {x.last()}});
  const int64_t elements = table.elements();
  c.build = [=](Graph& g, const std::vector<Value>& in) {
    std::vector<std::pair<int64_t, Value>> list;
    for (int t = 0; t < terms; ++t) {
      Value z = in[1 + t];
      autograd::BatchNorm bn;
      if (t % 4 == 2) {
        bn.gamma = in[terms + 1];
        bn.beta = in[terms + 2];
      }
      if (normed && t % 2 == 0) z = autograd::batch_norm(g, z, bn);
      if (normed && t % 3 == 1) z = autograd::relu(g, z);
      list.emplace_back(t * 5 % elements, z);
    }
    return std::vector<Value>{autograd::mix(g, in[0], list)};
  };
  return c;
}

/// Two mixtures that share a pool's norm and differ in the rest, as two nodes of a cell: elements without a term, a
/// skip, norms of either kind, the second mixture fed by the first.
inline Case mix_pair_case(const kernels::Shape& x) {
  using autograd::Graph;
  using autograd::Value;
  Case c{kernels::text("two mixes of one norm", x),
         {{"alphas", {2, 5}}, {"gamma", {x.last()}}, {"beta", {x.last()}}},
         {}};
  for (const char* name : {"x", "pool", "a", "b", "c"}) c.inputs.push_back({name, x});
  c.build = [](Graph& g, const std::vector<Value>& in) {
    const Value table = autograd::softmax(g, in[0]), x = in[3], shared = autograd::batch_norm(g, in[4], {});
    const Value a = autograd::batch_norm(g, in[5], {}), b = autograd::batch_norm(g, in[6], {in[1], in[2]});
    const Value first = autograd::mix(g, table, {{0, x}, {1, shared}, {2, a}, {3, b}});
    const Value other = autograd::batch_norm(g, autograd::add(g, in[7], first), {});
    return std::vector<Value>{autograd::mix(g, table, {{5, first}, {6, shared}, {8, other}}), first};
  };
  return c;
}

/// Nodes of a derived network: sums, without a table, of norms, a skip and an operand that adds itself in place.
inline Case normed_sum_case(const kernels::Shape& x) {
  using autograd::Graph;
  using autograd::Value;
  return {kernels::text("sums of norms", x),
          {{"a", x}, {"b", x}, {"skip", x}, {"gamma", {x.last()}}, {"beta", {x.last()}}},
          [](Graph& g, const std::vector<Value>& in) {
            const Value node = autograd::add(g, autograd::batch_norm(g, in[0], {in[3], in[4]}),
                                             autograd::batch_norm(g, in[1], {}));
            const Value other = autograd::sum(g, {autograd::batch_norm(g, node, {}), in[2],
                                                  autograd::mul(g, in[0], in[2]), autograd::mul(g, node, node)});
            return std::vector<Value>{autograd::concat(g, {node, other}, -1)};
          }};
}

/// Norms under drop path, every second one affine, beside an affine one that is not: the gradients' sums have
/// factors or none.
inline Case dropped_norms_case(const kernels::Shape& x, int dropped) {
  using autograd::Graph;
  using autograd::Value;
  Case c{kernels::text("sum of ", dropped, " norms under drop path ", x),
         {{"gamma", {x.last()}}, {"beta", {x.last()}}, {"b", x}},
         {}};
  for (int t = 0; t < dropped; ++t) {
    c.inputs.push_back({kernels::text("z", t), x});
    c.inputs.push_back({.name = kernels::text("mask", t),
                        .shape = {x[0]},
                        .fill = CaseInput::Fill::kMask,
                        .differentiate = false});
  }
  c.build = [=](Graph& g, const std::vector<Value>& in) {
    autograd::BatchNorm affine;
    affine.gamma = in[0], affine.beta = in[1];
    std::vector<Value> terms = {autograd::batch_norm(g, in[2], affine)};
    for (int t = 0; t < dropped; ++t) {
      const Value norm = autograd::batch_norm(g, in[3 + 2 * t], t % 2 == 0 ? affine : autograd::BatchNorm{});
      terms.push_back(autograd::apply_mask(g, norm, in[4 + 2 * t], 0.75));
    }
    return std::vector<Value>{autograd::sum(g, terms)};
  };
  return c;
}

inline std::vector<Case> mix_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  std::vector<Case> cases;
  for (const Shape& x : std::vector<Shape>{{1, 1, 1, 1},
                                           {2, 3, 5, 4},
                                           {1, 7, 3, 8},
                                           {2, 8, 8, 16},
                                           {3, 5, 7, 17},
                                           {2, 4, 4, 33},
                                           {2, 3, 3, 64},
                                           {2, 2, 3, 108},
                                           {6, 10},
                                           {5, 32, 32, 16}})
    for (const bool normed : {false, true})
      if (!normed || x.rows() > 2) cases.push_back(mix_case(x, {3, 4}, 5, normed));
  cases.push_back(mix_case({2, 5, 5, 16}, {14, 8}, 60, true));
  for (const int64_t channels : {1, 3, 16, 17, 64, 108}) {
    cases.push_back(mix_pair_case({3, 6, 7, channels}));
    cases.push_back(normed_sum_case({3, 6, 7, channels}));
  }
  cases.push_back(mix_case({2, 5, 7, 108}, {14, 8}, 31, true));
  cases.push_back(mix_pair_case({9, 32, 32, 16}));               // more blocks of rows than partial sums
  cases.push_back(mix_pair_case({1, 65, 64, 31}));               // so many that they are merged in two rounds
  cases.push_back(mix_case({2, 5, 5, 8}, {3}, 7, false));        // elements used more than once
  cases.push_back(mix_case({2, 5, 5, 8}, {2, 2, 3}, 4, false));  // some without a term
  cases.push_back(mix_case({2, 5, 5, 8}, {1}, 1, false));
  cases.push_back(mix_case({16, 64, 64, 16}, {3}, 2, true));  // several rows a thread
  cases.push_back(mix_case({5, 52433}, {3}, 2, false));       // fewer than that
  // And several tiles a block; all terms of the table's gradient are positive, so that none can hide in the sum.
  const CaseInput many{.name = "z0", .shape = {16, 64, 64, 17}, .fill = CaseInput::Fill::kPositive};
  CaseInput more = many;
  more.name = "z1";
  cases.push_back({"mean of a mix of many elements", {{"table", {3}}, many, more}, [](Graph& g, const Values& in) {
                     return Values{autograd::reduce_mean(g, autograd::mix(g, in[0], {{0, in[1]}, {2, in[2]}}),
                                                         {0, 1, 2, 3}, false)};
                   }});
  for (const int64_t c : {4, 16, 17})
    cases.push_back({kernels::text("mixes side by side, channels ", c),
                     {{"table", {2, 2}}, {"a", {2, 4, 5, c}}, {"b", {2, 4, 5, c}}},
                     [](Graph& g, const Values& in) {
                       const Value n = autograd::batch_norm(g, in[2], {});
                       const Value m = autograd::mix(g, in[0], {{0, in[1]}, {3, n}});
                       const Value o = autograd::mix(g, in[0], {{1, m}, {2, in[1]}});
                       return Values{autograd::concat(g, {m, o}, 3)};
                     }});
  for (const Shape& x : std::vector<Shape>{{1}, {33}, {2, 3, 4, 5}, {3, 16, 17, 16}})
    cases.push_back({kernels::text("scale", x), {{"table", {3, 2}}, {"x", x}}, [](Graph& g, const Values& in) {
                       return Values{autograd::scale(g, in[0], in[1], 3)};
                     }});
  // Sums under drop path: normed or not, beside one that is never dropped; samples smaller than a block of rows.
  for (const int64_t c : {4, 16, 17, 36})
    for (const int64_t side : {1, 7, 16})
      cases.push_back({kernels::text("sum under drop path, channels ", c, " side ", side),
                       {{"a", {5, side, side, c}},
                        {"b", {5, side, side, c}},
                        {"x", {5, side, side, c}},
                        {"gamma", {c}},
                        {"beta", {c}},
                        {.name = "mask_a", .shape = {5}, .differentiate = false},  // any numbers
                        {.name = "mask_b", .shape = {5}, .fill = CaseInput::Fill::kMask, .differentiate = false}},
                       [](Graph& g, const Values& in) {
                         autograd::BatchNorm bn;
                         bn.gamma = in[3], bn.beta = in[4];
                         const Value a = autograd::apply_mask(g, autograd::batch_norm(g, in[0], bn), in[5], 0.75);
                         const Value b = autograd::apply_mask(g, in[1], in[6], 0.5);
                         return Values{autograd::sum(g, {a, b, in[2]})};
                       }});
  for (const int64_t c : {1, 4, 16, 17, 64, 108}) cases.push_back(dropped_norms_case({5, 7, 6, c}, 2));
  cases.push_back(dropped_norms_case({3, 33, 32, 16}, 2));  // several blocks a sample
  cases.push_back(dropped_norms_case({2, 3, 3, 8}, 30));    // more sums than one launch has
  for (const bool architecture : {false, true}) {  // a mixture that is dropped as a whole, its table wanted or not
    CaseInput table{"table", {2, 3}}, mask{.name = "mask", .shape = {4}, .fill = CaseInput::Fill::kMask};
    table.differentiate = architecture;
    mask.differentiate = false;
    const Shape x = {4, 5, 6, 17};
    cases.push_back({kernels::text("mix under drop path", architecture ? " and its table" : ""),
                     {table, mask, {"a", x}, {"b", x}, {"x", x}},
                     [](Graph& g, const Values& in) {
                       const Value a = autograd::batch_norm(g, in[2], {}), b = autograd::batch_norm(g, in[3], {});
                       const Value node = autograd::mix(g, in[0], {{1, a}, {3, b}, {4, in[4]}});
                       return Values{autograd::apply_mask(g, node, in[1], 0.75)};
                     }});
  }
  return cases;
}

}  // namespace mixop::test
