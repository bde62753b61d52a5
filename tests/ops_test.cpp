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

}  // namespace
}  // namespace mixop::test
