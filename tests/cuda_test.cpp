// Every case of every op on a CUDA device, against the float64 reference: on a real one (ctest cuda.<stem>), where
// there is none they are skipped, and under emulation (emulated.<stem>) with the same kernel sources.
#include <gtest/gtest.h>

#include "autograd/ops/binary.h"
#include "kernels/core/device.h"
#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::test {
namespace {

class OnDevice : public testing::TestWithParam<Case> {
 protected:
  void SetUp() override {
    if (kernels::cuda::devices().empty()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  }
};

/// Two instances of the case whose results are added up: every op that accumulates sets once and adds once, forward
/// and backward.
Case twice(const Case& c) {
  Case two = c;
  two.build = [build = c.build](autograd::Graph& g, const std::vector<autograd::Value>& in) {
    std::vector<autograd::Value> sums = build(g, in);
    const std::vector<autograd::Value> second = build(g, in);
    for (size_t k = 0; k < sums.size(); ++k) sums[k] = autograd::sum(g, {sums[k], second[k]});
    return sums;
  };
  return two;
}

TEST_P(OnDevice, Reference) { check_device(GetParam()); }
TEST_P(OnDevice, Twice) { check_device(twice(GetParam())); }
TEST_P(OnDevice, Bits) { check_device_bits(GetParam()); }

std::string test_name(const testing::TestParamInfo<Case>& info) {
  std::string name = info.param.name;
  for (char& c : name)
    if (!std::isalnum(static_cast<unsigned char>(c))) c = '_';
  return name + "_" + std::to_string(info.index);
}

// One suite a stem: its tests are "<stem>/OnDevice.Reference/<case>".
#define MIXOP_DEVICE_CASES(stem) \
  INSTANTIATE_TEST_SUITE_P(stem, OnDevice, testing::ValuesIn(stem##_cases()), test_name)
MIXOP_DEVICE_CASES(augment);
MIXOP_DEVICE_CASES(batch_norm);
MIXOP_DEVICE_CASES(binary);
MIXOP_DEVICE_CASES(concat);
MIXOP_DEVICE_CASES(conv2d);
MIXOP_DEVICE_CASES(copy);
MIXOP_DEVICE_CASES(cross_entropy);
MIXOP_DEVICE_CASES(dropout);
MIXOP_DEVICE_CASES(global_pool);
MIXOP_DEVICE_CASES(matmul);
MIXOP_DEVICE_CASES(mix);
MIXOP_DEVICE_CASES(optim);
MIXOP_DEVICE_CASES(pool);
MIXOP_DEVICE_CASES(reduce);
MIXOP_DEVICE_CASES(shuffle);
MIXOP_DEVICE_CASES(softmax);
MIXOP_DEVICE_CASES(unary);

}  // namespace
}  // namespace mixop::test
