// Gradients of gradients: the way back through each op is a case of its own, with the arriving gradients among its
// inputs, and goes through the generic runner.
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::Value;
using Values = std::vector<Value>;

/// The gradients of a case's outputs as outputs; what arrives at those become inputs.
Case gradient_of(const Case& c) {
  Case gradient{"gradient of " + c.name, c.inputs, {}};
  Graph shapes;
  Values values;
  for (const CaseInput& in : c.inputs)
    values.push_back(in.fill == CaseInput::Fill::kLabels ? shapes.input(in.name, in.shape, kernels::DType::kI32)
                                                         : shapes.input(in.name, in.shape));
  const Values outputs = c.build(shapes, values);
  for (size_t k = 0; k < outputs.size(); ++k)
    gradient.inputs.push_back(
        {.name = kernels::text("dy_", gradient.inputs.size()), .shape = shapes.shape(outputs[k])});
  gradient.build = [c](Graph& g, const Values& in) {
    const auto first_dy = in.begin() + static_cast<std::ptrdiff_t>(c.inputs.size());
    Values wrt;
    for (size_t i = 0; i < c.inputs.size(); ++i)
      if (c.inputs[i].differentiate) wrt.push_back(in[i]);
    Values gradients = autograd::vector_jacobian(g, c.build(g, {in.begin(), first_dy}), {first_dy, in.end()}, wrt);
    std::erase_if(gradients, [](Value v) { return !v; });
    return gradients;
  };
  return gradient;
}

int64_t elements(const Case& c) {
  int64_t sum = 0;
  for (const CaseInput& in : c.inputs) sum += in.shape.elements();
  return sum;
}

/// Small cases with a gradient; those that only look at fused ops, and what cannot be differentiated twice, left
/// out.
std::vector<Case> gradient_cases() {
  std::vector<Case> cases;
  for (const StemCases& stem : kStems) {
    const std::string name = stem.stem;
    if (name == "augment" || name == "optim" || name == "separable") continue;
    for (const Case& c : stem.cases()) {
      const bool differentiable =
          std::any_of(c.inputs.begin(), c.inputs.end(), [](const CaseInput& in) { return in.differentiate; });
      if (!differentiable || elements(c) > 1500 || c.name.find("ignoring") != std::string::npos) continue;
      cases.push_back(gradient_of(c));
    }
  }
  return cases;
}

class SecondOrder : public testing::TestWithParam<Case> {};
TEST_P(SecondOrder, Gradients) { check_gradients(GetParam()); }
TEST_P(SecondOrder, Reference) {
  const Case& c = GetParam();
  if (c.name.find("large numbers") != std::string::npos)
    GTEST_SKIP() << "float32 underflows where float64 does not";
  if (c.inputs[0].shape.elements() == 1)
    GTEST_SKIP() << "nothing to measure the cancellation in one number against";
  check_against_reference(c);
}

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name + "_" + std::to_string(info.index);
}
INSTANTIATE_TEST_SUITE_P(All, SecondOrder, testing::ValuesIn(gradient_cases()), test_name);

/// The statistics of a norm follow its input in two ways: complete rules, and gradients of their own. A third
/// derivative goes through both.
TEST(ThirdOrder, BatchNorm) {
  for (const Case& c : batch_norm_cases())
    if (elements(c) < 500 && c.inputs[0].name == "x") check_gradients(gradient_of(gradient_of(c)));
}

}  // namespace
}  // namespace mixop::test
