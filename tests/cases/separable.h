// Separable convolutions as the fusion pass finds them: every kernel, stride and dilation of the search space,
// channels around the vector length, one or two halves, batch norm with and without scale and shift, several units
// that share an input or lie in a mixture, inputs that are channel slices, more images than tasks, drop path.
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/unary.h"
#include "tests/cases/conv2d.h"
#include "tests/cases/separable_direct.h"
#include "tests/support/case.h"

namespace mixop::test {

/// relu?, depthwise, 1x1, batch norm as a chain of `halves`; only the first has the stride.
struct SeparableLayer {
  int kernel = 3, stride = 1, dilation = 1, halves = 1;
  bool relu = true, affine = false;
  int64_t out = 0;  ///< channels of the result; 0: as many as x
};

class SeparableCase {
 public:
  explicit SeparableCase(std::string name) { case_.name = std::move(name); }
  int input(const std::string& name, const kernels::Shape& shape) {
    case_.inputs.push_back({name, shape});
    return static_cast<int>(case_.inputs.size()) - 1;
  }
  /// A mask [N] of drop path.
  int mask(const std::string& name, int64_t samples) {
    case_.inputs.push_back(
        {.name = name, .shape = {samples}, .fill = CaseInput::Fill::kMask, .differentiate = false});
    return static_cast<int>(case_.inputs.size()) - 1;
  }
  int keep() {
    case_.inputs.push_back(
        {.name = "keep", .shape = {1}, .fill = CaseInput::Fill::kPositive, .differentiate = false});
    return static_cast<int>(case_.inputs.size()) - 1;
  }
  /// The inputs that a layer needs; their first index.
  int weights(const SeparableLayer& l, int64_t channels) {
    const int first = static_cast<int>(case_.inputs.size());
    const int64_t out = l.out ? l.out : channels;
    for (int h = 0; h < l.halves; ++h) {
      const int64_t in = h ? out : channels;
      input(kernels::text("dw", first, ".", h), {l.kernel, l.kernel, 1, in});
      input(kernels::text("pw", first, ".", h), {1, 1, in, out});
      if (l.affine)
        input(kernels::text("gamma", first, ".", h), {out}), input(kernels::text("beta", first, ".", h), {out});
    }
    return first;
  }
  Case build(std::function<std::vector<autograd::Value>(autograd::Graph&, const std::vector<autograd::Value>&)> f) {
    case_.build = std::move(f);
    return std::move(case_);
  }

 private:
  Case case_;
};

inline autograd::Value separable_layer(autograd::Graph& g, autograd::Value x, const SeparableLayer& l,
                                       const std::vector<autograd::Value>& in, int first) {
  size_t at = static_cast<size_t>(first);
  for (int h = 0; h < l.halves; ++h) {
    if (l.relu) x = autograd::relu(g, x);
    const int64_t c = g.shape(x).last();
    x = autograd::conv2d(g, x, in[at], square_kernel(l.kernel, h ? 1 : l.stride, l.dilation, c));
    x = autograd::conv2d(g, x, in[at + 1], {});
    at += 2;
    autograd::BatchNorm bn;
    if (l.affine) bn.gamma = in[at], bn.beta = in[at + 1], at += 2;
    x = autograd::batch_norm(g, x, bn);
  }
  return x;
}

inline Case separable_case(const kernels::Shape& x, const SeparableLayer& l) {
  SeparableCase c(kernels::text("separable", x, " to ", l.out ? l.out : x.last(), " kernel ", l.kernel, " stride ",
                                l.stride, " dilation ", l.dilation, " halves ", l.halves, l.relu ? " relu" : "",
                                l.affine ? " affine" : ""));
  c.input("x", x);
  const int w = c.weights(l, x.last());
  return c.build([=](autograd::Graph& g, const std::vector<autograd::Value>& in) {
    return std::vector<autograd::Value>{separable_layer(g, in[0], l, in, w)};
  });
}

/// The convolutions of `edges` mixed edges that leave one state of shape x, all with the same stride: mixtures of a
/// node each, their results side by side. With `slice` the state is a channel slice of a wider tensor.
inline Case separable_edges_case(const kernels::Shape& x, int edges, int stride, bool slice) {
  const int64_t channels = x.last();
  SeparableCase c(kernels::text("mixed edges", x, " edges ", edges, " stride ", stride, slice ? " slice" : ""));
  kernels::Shape wide = x;
  if (slice) wide[3] = channels + 4;
  c.input("x", wide);
  c.input("table", {edges, 4});
  const SeparableLayer layers[] = {{3, stride, 1, 2}, {5, stride, 1, 2}, {3, stride, 2, 1}, {5, stride, 2, 1}};
  std::vector<int> first;
  for (int e = 0; e < edges; ++e)
    for (const SeparableLayer& l : layers) first.push_back(c.weights(l, channels));
  return c.build([=](autograd::Graph& g, const std::vector<autograd::Value>& in) {
    const autograd::Value state = slice ? autograd::slice(g, in[0], 4, channels) : in[0];
    std::vector<autograd::Value> nodes;
    for (int e = 0; e < edges; ++e) {
      std::vector<std::pair<int64_t, autograd::Value>> terms;
      for (int k = 0; k < 4; ++k)
        terms.emplace_back(e * 4 + k, separable_layer(g, state, layers[k], in, first[e * 4 + k]));
      if (stride == 1) terms.emplace_back(e * 4, state);
      nodes.push_back(autograd::mix(g, in[1], terms));
    }
    return std::vector<autograd::Value>{autograd::concat(g, nodes, 3)};
  });
}

/// Layers of one x, each under drop path with a mask of its own, every second one with a tensor that says how many
/// are kept; their sum, with x where that fits.
inline Case drop_path_case(const kernels::Shape& x, const std::vector<SeparableLayer>& layers) {
  std::string name = kernels::text("drop path separable", x);
  for (const SeparableLayer& l : layers)
    name += kernels::text(", kernel ", l.kernel, " stride ", l.stride, " dilation ", l.dilation, " halves ",
                          l.halves, l.affine ? " affine" : "");
  SeparableCase c(name);
  c.input("x", x);
  const int keep = c.keep();
  std::vector<int> masks, first;
  for (size_t i = 0; i < layers.size(); ++i) {
    masks.push_back(c.mask(kernels::text("mask", i), x[0]));
    first.push_back(c.weights(layers[i], x.last()));
  }
  return c.build([=](autograd::Graph& g, const std::vector<autograd::Value>& in) {
    std::vector<autograd::Value> paths;
    for (size_t i = 0; i < layers.size(); ++i)
      paths.push_back(autograd::apply_mask(g, separable_layer(g, in[0], layers[i], in, first[i]), in[masks[i]],
                                           i % 2 ? autograd::Keep(in[keep]) : 0.75));
    if (layers[0].stride == 1 && layers[0].halves == 2) paths.push_back(in[0]);
    return std::vector<autograd::Value>{paths.size() > 1 ? autograd::sum(g, paths) : paths[0]};
  });
}

inline std::vector<Case> separable_cases() {
  using kernels::Shape;
  std::vector<Case> cases;
  for (const int64_t c : {2, 3, 4, 8, 15, 16, 17, 20, 32, 36, 40, 64})
    for (const int kernel : {3, 5})
      for (const int stride : {1, 2}) {
        cases.push_back(separable_case({2, 6, 8, c}, {kernel, stride, 1, 2}));
        cases.push_back(separable_case({2, 8, 6, c}, {kernel, stride, 2, 1}));
      }
  for (const int64_t c : {16, 36}) {
    cases.push_back(separable_case({2, 7, 9, c}, {5, 2, 1, 2, true, true}));
    cases.push_back(separable_case({3, 9, 7, c}, {3, 2, 2, 1, true, true}));
    cases.push_back(separable_case({2, 5, 5, c}, {7, 1, 1, 2, true, true}));
    cases.push_back(separable_case({2, 6, 6, c}, {3, 1, 1, 2, false, true, c + 4}));
  }
  cases.push_back(separable_case({9, 1, 1, 16}, {5, 1, 2, 1}));
  cases.push_back(separable_case({1, 3, 40, 16}, {5, 1, 1, 2}));
  cases.push_back(separable_case({1, 40, 3, 16}, {3, 1, 2, 1}));
  cases.push_back(separable_case({35, 4, 4, 16}, {3, 1, 1, 2}));
  // Several tiles along both axes.
  cases.push_back(separable_case({2, 19, 18, 12}, {5, 1, 2, 1}));
  cases.push_back(separable_case({1, 35, 18, 8}, {5, 2, 1, 2}));
  cases.push_back(separable_case({1, 4, 3, 144}, {5, 1, 1, 2, true, true}));
  for (const int64_t c : {8, 16, 17, 32})
    for (const int stride : {1, 2})
      cases.push_back(separable_edges_case({2, 6, 8, c}, c == 17 ? 2 : 3, stride, c == 16));
  cases.push_back(separable_edges_case({33, 4, 4, 16}, 2, 1, false));
  // Tasks of several images, of many pixels, of some rows at a time.
  cases.push_back(separable_case({40, 5, 5, 16}, {3, 1, 1, 1}));
  cases.push_back(separable_case({33, 20, 20, 20}, {5, 2, 2, 1, false, true}));
  cases.push_back(separable_case({33, 24, 24, 4}, {5, 1, 1, 1, false}));
  cases.push_back(separable_edges_case({33, 9, 9, 4}, 1, 1, false));
  cases.push_back(separable_edges_case({2, 3, 13, 16}, 2, 1, false));  // a row that is no multiple of a block
  // Several tiles of an image along both axes, the last ones partly filled; channels that a tile takes in turns.
  cases.push_back(separable_edges_case({2, 19, 37, 12}, 1, 1, false));
  cases.push_back(separable_case({1, 18, 20, 16}, {3, 1, 2, 1}));
  cases.push_back(separable_case({2, 11, 9, 80}, {5, 1, 2, 1, true, true, 72}));
  cases.push_back(separable_case({1, 19, 18, 40}, {5, 2, 1, 2}));
  for (const int64_t c : {8, 17, 36})
    for (const int stride : {1, 2}) {
      cases.push_back(drop_path_case({4, 6, 7, c}, {{3, stride, 1, 2, true, c == 36}}));
      cases.push_back(drop_path_case({5, 7, 6, c}, {{5, stride, 2, 1, true, c == 17}}));
      cases.push_back(drop_path_case({4, 6, 6, c}, {{3, stride, 2, 1}, {5, stride, 2, 1}}));
      cases.push_back(drop_path_case({4, 9, 10, c}, {{5, stride, 1, 2}, {3, stride, 2, 1, true, true}}));
    }
  for (Case& c : separable_direct_cases()) cases.push_back(std::move(c));
  return cases;
}

}  // namespace mixop::test
