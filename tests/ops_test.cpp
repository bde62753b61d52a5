// Every case of every op through the generic runner: float64 gradients, float32 against the reference, equal bits.
#include <gtest/gtest.h>

#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::test {
namespace {

class Ops : public testing::TestWithParam<Case> {};

TEST_P(Ops, Gradients) { check_gradients(GetParam()); }
TEST_P(Ops, Reference) { check_against_reference(GetParam()); }
TEST_P(Ops, Bits) { check_bits(GetParam()); }

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name + "_" + std::to_string(info.index);
}

INSTANTIATE_TEST_SUITE_P(All, Ops, testing::ValuesIn(all_cases()), test_name);

/// Results so large that they go past the caches (kernels/core/stream.h); a last one adds to what is there.
class Large : public Ops {};
TEST_P(Large, Reference) { check_against_reference(GetParam()); }
TEST_P(Large, Bits) { check_bits(GetParam()); }
std::vector<Case> large_cases() {
  const kernels::OnLoad load{.norm = true, .relu = true};
  std::vector<Case> cases;
  for (const int64_t c : {16, 32}) {
    const kernels::Shape x{8, 32, 32, c};
    const DirectUnit three{.window = {3, 1, 1, 1}, .out = c, .load = load};
    const std::vector<DirectUnit> units{three, pointwise_unit(2 * c, 1, 0, 0, load)};
    cases.push_back(DirectCase("", {x}, units).forward(true));
    cases.push_back(DirectCase("", {x}, units).backward(true, true, true));
    cases.push_back(DirectCase("", {x}, {units[1]}).backward(true, false, false));
    cases.push_back(DirectCase("", {x}, {three}).backward(true, false, false, true));
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(Streamed, Large, testing::ValuesIn(large_cases()), test_name);

}  // namespace
}  // namespace mixop::test
