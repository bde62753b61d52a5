// Convolutions at the edges of the kernels' blocks: channels around the vector length, widths around the register
// block, pixels around the block of patches; every kind of kernel, stride, dilation, padding and grouping; operands
// that are channel slices; an input whose gradient is a sum.
#pragma once

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/unary.h"
#include "tests/support/case.h"

namespace mixop::test {

/// One convolution of x with K outputs.
inline Case conv2d_case(const kernels::Shape& x, int64_t k, const kernels::Conv2dAttrs& a) {
  const auto pair = [](const std::array<int, 2>& p) { return kernels::text(p[0], ",", p[1]); };
  return {
      kernels::text("conv2d", x, " to ", k, " kernel ", pair(a.kernel), " stride ", pair(a.stride), " pad ",
                    pair(a.pad_begin), " ", pair(a.pad_end), " dilation ", pair(a.dilation), " groups ", a.groups),
      {{"x", x}, {"w", {a.kernel[0], a.kernel[1], x.last() / a.groups, k}}},
      [a](autograd::Graph& g, const std::vector<autograd::Value>& in) {
        return std::vector<autograd::Value>{conv2d(g, in[0], in[1], a)};
      }};
}

inline kernels::Conv2dAttrs square_kernel(int kernel, int stride, int dilation, int64_t groups = 1) {
  const int pad = dilation * (kernel / 2);
  return {.kernel = {kernel, kernel},
          .stride = {stride, stride},
          .pad_begin = {pad, pad},
          .pad_end = {pad, pad},
          .dilation = {dilation, dilation},
          .groups = groups};
}

inline std::vector<Case> depthwise_cases() {
  std::vector<Case> cases;
  const auto add = [&](const kernels::Shape& x, const kernels::Conv2dAttrs& a) {
    cases.push_back(conv2d_case(x, x.last(), a));
  };
  for (const int64_t c : {1, 2, 3, 4, 8, 15, 16, 17, 32, 33, 36, 64, 108}) {
    for (const int kernel : {3, 5})
      for (const int stride : {1, 2}) add({2, 6, 7, c}, square_kernel(kernel, stride, 1, c));
    add({1, 9, 9, c}, square_kernel(3, 1, 2, c));
    add({1, 9, 8, c}, square_kernel(5, 2, 2, c));
  }
  for (const int64_t width : {1, 2, 7, 8, 9, 15, 16, 17, 33, 40}) {
    for (const int64_t c : {4, 16}) {
      add({1, 3, width, c}, square_kernel(3, 1, 1, c));
      add({1, 3, width, c}, square_kernel(5, 1, 2, c));
    }
  }
  add({37, 4, 4, 16}, square_kernel(3, 1, 1, 16));  // more images than tasks
  add({1, 40, 5, 16}, square_kernel(3, 1, 1, 16));
  add({33, 20, 4, 8}, square_kernel(5, 1, 1, 8));
  add({2, 1, 1, 16}, square_kernel(5, 1, 2, 16));
  add({80, 4, 4, 108}, square_kernel(3, 1, 1, 108));  // several tiles a block
  add({1, 601, 583, 3}, square_kernel(3, 1, 1, 3));   // several elements a thread
  add({1, 11, 12, 16}, {.kernel = {7, 7}, .pad_begin = {3, 3}, .pad_end = {3, 3}, .groups = 16});
  add({1, 7, 8, 16}, {.kernel = {1, 3}, .pad_begin = {0, 1}, .pad_end = {0, 1}, .groups = 16});
  add({1, 7, 8, 8}, {.kernel = {3, 1}, .stride = {1, 2}, .pad_begin = {2, 0}, .pad_end = {0, 1}, .groups = 8});
  add({2, 8, 9, 16}, {.kernel = {3, 2}, .stride = {3, 2}, .pad_begin = {-1, 3}, .pad_end = {2, -2}, .groups = 16});
  add({1, 9, 9, 16}, {.kernel = {3, 5}, .stride = {2, 3}, .dilation = {3, 1}, .groups = 16});
  return cases;
}

inline std::vector<Case> dense_cases() {
  std::vector<Case> cases;
  const auto add = [&](const kernels::Shape& x, int64_t k, const kernels::Conv2dAttrs& a) {
    cases.push_back(conv2d_case(x, k, a));
  };
  for (const int64_t c : {1, 4, 8, 16, 17, 32, 33, 36, 64, 108}) {
    add({2, 4, 4, c}, 16, {});
    add({2, 4, 4, 16}, c, {});
    add({1, 3, 5, c}, c, {.stride = {2, 2}});
  }
  for (const int64_t pixels : {1, 11, 12, 13, 47, 48, 49, 192, 193}) add({1, 1, pixels, 8}, 8, {});
  add({16, 32, 33, 4}, 4, {});  // several blocks a task
  add({9, 16, 25, 4}, 8, square_kernel(3, 1, 1));
  add({1, 128, 128, 32}, 36, {});                          // several pixels a thread
  add({1, 24, 24, 256}, 256, square_kernel(3, 1, 1, 32));  // a weight gradient in several steps
  // The two halves of a factorized reduction; the second sees x[1:,1:].
  for (const int64_t size : {4, 5}) {
    add({2, size, size, 16}, 8, {.stride = {2, 2}});
    add({2, size, size, 16}, 8, {.stride = {2, 2}, .pad_begin = {-1, -1}, .pad_end = {size % 2 ? 1 : 0, 0}});
  }
  add({1, 4, 4, 8}, 8, {.stride = {1, 3}, .pad_begin = {2, 1}, .pad_end = {1, 2}});
  for (const int stride : {1, 2}) {
    add({2, 8, 8, 3}, 48, square_kernel(3, stride, 1));
    add({1, 7, 6, 16}, 17, square_kernel(3, stride, 2));
    add({1, 7, 7, 8}, 4, square_kernel(5, stride, 1));
    for (const int64_t groups : {2, 4}) add({1, 6, 5, 8 * groups}, 4 * groups, square_kernel(3, stride, 1, groups));
  }
  add({2, 5, 5, 16}, 24, {.groups = 8});
  add({1, 5, 5, 6}, 12, square_kernel(3, 1, 1, 6));  // two outputs a channel
  add({17, 3, 3, 16}, 16, square_kernel(3, 1, 1));
  add({1, 9, 2, 4}, 8, {.kernel = {4, 2}, .stride = {3, 1}, .pad_begin = {1, 2}, .pad_end = {0, 1}});
  return cases;
}

/// The same of a transformed x: fusion applies the transform on load, and with relu masks the gradient of x.
inline Case transformed(const Case& c, bool norm, bool affine, bool relu) {
  Case t = c;
  t.name += kernels::text(norm ? " normed" : "", affine ? " affine" : "", relu ? " rectified" : "");
  const kernels::Shape channels{c.inputs[0].shape.last()};
  if (affine) t.inputs.insert(t.inputs.end(), {{"gamma", channels}, {"beta", channels}});
  t.build = [=](autograd::Graph& g, std::vector<autograd::Value> in) {
    autograd::BatchNorm bn;
    if (affine) bn.gamma = in[2], bn.beta = in[3];
    if (norm) in[0] = autograd::batch_norm(g, in[0], bn);
    if (relu) in[0] = autograd::relu(g, in[0]);
    return c.build(g, in);
  };
  return t;
}

inline std::vector<Case> transformed_cases() {
  std::vector<Case> cases;
  const auto add = [&](const kernels::Shape& x, int64_t k, const kernels::Conv2dAttrs& a) {
    const Case c = conv2d_case(x, k, a);
    for (const bool norm : {false, true})
      for (const bool relu : {false, true})
        if (norm || relu) cases.push_back(transformed(c, norm, false, relu));
    cases.push_back(transformed(c, true, true, true));
  };
  for (const int64_t c : {3, 16, 36}) {
    for (const int stride : {1, 2}) add({2, 6, 7, c}, c, square_kernel(3, stride, 1, c));
    add({2, 6, 7, c}, c, square_kernel(5, 1, 2, c));
    add({2, 6, 7, c}, 20, {});
    add({2, 6, 7, c}, 17, square_kernel(3, 1, 1));
    add({2, 6, 7, c}, 2 * c, square_kernel(3, 1, 1, c));  // two outputs a channel
  }
  add({2, 6, 7, 16}, 12, square_kernel(3, 2, 1, 2));
  return cases;
}

inline std::vector<Case> conv2d_cases() {
  using autograd::Graph;
  using autograd::Value;
  using Values = std::vector<Value>;
  std::vector<Case> cases = depthwise_cases();
  for (Case& c : dense_cases()) cases.push_back(std::move(c));
  for (Case& c : transformed_cases()) cases.push_back(std::move(c));
  // x is a channel slice, the results join a wider tensor, and the gradients of the slice are summed.
  for (const int64_t c : {4, 16, 33}) {
    cases.push_back({kernels::text("conv2d of ", c, " channels of a wider tensor"),
                     {{"x", {2, 5, 6, c + 3}}, {"dw", {3, 3, 1, c}}, {"pw", {1, 1, c, 8}}, {"w", {3, 3, c, 5}}},
                     [c](Graph& g, const Values& in) {
                       const Value x = autograd::slice(g, in[0], 2, c);
                       return Values{autograd::concat(
                           g, {conv2d(g, x, in[1], square_kernel(3, 1, 1, c)), conv2d(g, x, in[2], {}),
                               conv2d(g, x, in[3], square_kernel(3, 1, 1))})};
                     }});
  }
  return cases;
}

}  // namespace mixop::test
