// Images out of a small data set: offsets that leave it, mirrored, erased in part; indices past the last image.
// Negative offsets come with real draws, in augment_test.
#pragma once

#include "autograd/ops/augment.h"
#include "autograd/ops/concat.h"
#include "tests/support/case.h"

namespace mixop::test {

inline std::vector<Case> augment_cases() {
  using autograd::Graph;
  using autograd::Value;
  using kernels::Shape;
  using Values = std::vector<Value>;
  using Fill = CaseInput::Fill;
  const auto inputs = [](const Shape& pixels, int64_t batch, int limit) {
    return std::vector<CaseInput>{{"pixels", pixels, Fill::kPixels, false},
                                  {"draws", {batch, 8}, Fill::kLabels, false, limit},
                                  {"table", {pixels[3], 256}, Fill::kNormal, false}};
  };
  std::vector<Case> cases;
  for (const Shape& s :
       {Shape{1, 1, 1, 1}, {3, 5, 4, 1}, {2, 7, 9, 3}, {4, 12, 12, 17}, {3, 32, 32, 3}, {2, 1, 300, 2}}) {
    for (const int limit : {1, 2, 6}) {
      cases.push_back(
          {kernels::text("augment", s, " draws below ", limit), inputs(s, 5, limit),
           [](Graph& g, const Values& in) { return Values{autograd::augment(g, in[0], in[1], in[2])}; }});
    }
  }
  // Written side by side into one tensor.
  cases.push_back({"augment into slices", inputs({3, 8, 6, 3}, 4, 5), [](Graph& g, const Values& in) {
                     return Values{autograd::concat(g, {autograd::augment(g, in[0], in[1], in[2]),
                                                        autograd::augment(g, in[0], in[1], in[2])})};
                   }});
  return cases;
}

}  // namespace mixop::test
