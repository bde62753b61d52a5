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
MIXOP_DEVICE_CASES(gumbel_softmax);
MIXOP_DEVICE_CASES(matmul);
MIXOP_DEVICE_CASES(mix);
MIXOP_DEVICE_CASES(optim);
MIXOP_DEVICE_CASES(pool);
MIXOP_DEVICE_CASES(reduce);
MIXOP_DEVICE_CASES(separable);
MIXOP_DEVICE_CASES(shuffle);
MIXOP_DEVICE_CASES(softmax);
MIXOP_DEVICE_CASES(unary);

/// Products with factors rounded to TF32 differ from exact ones, and by little.
class SeparableOnDevice : public OnDevice {};
TEST_P(SeparableOnDevice, Tf32) {
  Case c = GetParam();
  for (CaseInput& in : c.inputs) in.differentiate = false;  // gradients jump where rounding closes a relu
  CaseProgram exact(c, kernels::DType::kF32, {.device = kernels::Device::kCuda});
  CaseProgram rounded(c, kernels::DType::kF32, {.device = kernels::Device::kCuda, .tf32 = true});
  const Tensors in = exact.inputs();
  const std::vector<double> want = exact.run(in)[0].values, got = rounded.run(in)[0].values;
  double distance = 0;
  for (size_t i = 0; i < want.size(); ++i) distance = std::max(distance, std::abs(want[i] - got[i]));
  EXPECT_LT(distance, 0x1p-7);  // of numbers that are normalised, or sums of few
  EXPECT_GT(distance, 0);
}
INSTANTIATE_TEST_SUITE_P(separable, SeparableOnDevice,
                         testing::Values(separable_case({2, 19, 18, 12}, {5, 1, 1, 1}),
                                         separable_case({2, 8, 8, 20}, {3, 1, 2, 1, true, true, 36}),
                                         DirectCase("", {{2, 9, 10, 20}}, {pointwise_unit(16)}).forward(true),
                                         DirectCase("", {{2, 9, 10, 12}}, {pointwise_unit(36, 2)}).forward(true)),
                         test_name);

/// Likewise every gradient, measured by the largest element of its tensor.
class SeparableGradOnDevice : public OnDevice {};
TEST_P(SeparableGradOnDevice, Tf32) {
  CaseProgram exact(GetParam(), kernels::DType::kF32, {.device = kernels::Device::kCuda});
  CaseProgram rounded(GetParam(), kernels::DType::kF32, {.device = kernels::Device::kCuda, .tf32 = true});
  const Tensors in = exact.inputs();
  const auto want = exact.run(in), got = rounded.run(in);
  for (size_t k = 0; k < want.size(); ++k) {
    double distance = 0, largest = 0;
    for (size_t i = 0; i < want[k].values.size(); ++i) {
      distance = std::max(distance, std::abs(want[k].values[i] - got[k].values[i]));
      largest = std::max(largest, std::abs(want[k].values[i]));
    }
    EXPECT_LT(distance, 0x1p-8 * largest) << want[k].name;
    EXPECT_GT(distance, 0) << want[k].name;
  }
}
INSTANTIATE_TEST_SUITE_P(
    separable, SeparableGradOnDevice,
    testing::Values(
        DirectCase("", {{2, 19, 18, 20}}, {{.out = 36}, pointwise_unit(12)}).backward(true, false, true),
        DirectCase("", {{2, 8, 7, 36}}, {{.window = {5, 1, 4, 2}, .out = 68}}).backward(true, false, true)),
    test_name);

/// One captured graph serves any choice of units.
class ActiveOnDevice : public OnDevice {};
TEST_P(ActiveOnDevice, AnyUnits) {
  CaseProgram exact(GetParam(), kernels::DType::kF64);
  CaseProgram captured(GetParam(), kernels::DType::kF32, {.poison = true, .device = kernels::Device::kCuda});
  Tensors in = exact.inputs();
  for (const std::vector<double>& active : std::vector<std::vector<double>>{
           {1, 1, 1, 1, 1}, {0, 1, 1, 0, 0}, {1, 0, 0, 0, 1}, {0, 0, 0, 0, 0}, {0, 0, 0, 0, 1}}) {
    in.at("active") = active;
    const auto want = exact.run(in), got = captured.run(in);
    for (size_t k = 0; k < want.size(); ++k)
      for (size_t i = 0; i < want[k].values.size(); ++i)
        ASSERT_NEAR(want[k].values[i], got[k].values[i], 3e-4) << want[k].name << " " << i;
  }
  EXPECT_GT(captured.plan().graph_nodes(), 0U);
}
INSTANTIATE_TEST_SUITE_P(separable, ActiveOnDevice,
                         testing::Values(skipped_units(17, 2).backward(true, true, true, false, {1, 1, 1, 1, 1}),
                                         skipped_units(20, 1).backward(true, true, true, false, {1, 1, 1, 1, 1})),
                         test_name);

double round_to_bf16(double v) {
  int exponent = 0;
  const double fraction = std::frexp(v, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

/// With activations stored as bfloat16, which keeps 8 bits: what goes into a case and what comes out of it passes
/// through a mixture, so that the operands of its ops are no inputs or outputs of the graph, which stay float32.
class StoredOnDevice : public OnDevice {};
TEST_P(StoredOnDevice, Bfloat16) {
  Case c = GetParam();
  const size_t count = c.inputs.size();
  c.inputs.push_back({.name = "one", .shape = {1, 1}, .fill = CaseInput::Fill::kPositive, .differentiate = false});
  c.build = [build = c.build, count](autograd::Graph& g, std::vector<autograd::Value> in) {
    const auto pass = [&, one = in[count]](autograd::Value& v) {
      const kernels::Shape s = g.shape(v);
      if (s.rank() == 4 && g.spec(v).dtype == g.real() && s[0] * s[1] > 1)  // all but 1x1 weights
        v = autograd::mix(g, one, {{0, v}});
    };
    for (size_t i = 0; i < count; ++i) pass(in[i]);
    in.pop_back();  // a table of active units is the last input
    std::vector<autograd::Value> out = build(g, in);
    for (autograd::Value& v : out) pass(v);
    return out;
  };
  CaseProgram exact(c, kernels::DType::kF64);
  CaseProgram stored(c, kernels::DType::kF32, {.device = kernels::Device::kCuda, .bf16 = true});
  size_t calls = 0;
  for (const autograd::Plan::CallInfo& call : stored.plan().calls())
    calls += std::any_of(call.call.in.begin(), call.call.in.end(),
                         [](const kernels::View& v) { return v.dtype == kernels::DType::kBF16; });
  EXPECT_GT(calls, 0u);
  Tensors in = exact.inputs();
  for (auto& [name, values] : in)  // what bfloat16 holds: rounded numbers would have their maxima elsewhere
    for (double& v : values) v = name == "one" ? 1 : round_to_bf16(v);
  const auto want = exact.run(in), got = stored.run(in);
  for (size_t k = 0; k < want.size(); ++k) {
    double distance = 0, size = 0;
    for (size_t i = 0; i < want[k].values.size(); ++i) {
      distance += std::pow(want[k].values[i] - got[k].values[i], 2);
      size += std::pow(want[k].values[i], 2);
    }
    EXPECT_LE(std::sqrt(distance), 0.03 * std::sqrt(size)) << want[k].name;
  }
}

std::vector<Case> stored_cases() {
  std::vector<Case> cases = separable_direct_cases();
  for (const int64_t channels : {8, 17}) {
    cases.push_back(separable_edges_case({2, 7, 8, channels}, 2, 1, false));  // rounding z closes no relu here
    cases.push_back(separable_edges_case({2, 6, 8, channels}, 2, 2, false));
  }
  // dx that adds to what a call before has written, by tiles of either stride and by plain kernels.
  for (const int64_t channels : {20, 17})
    for (const int stride : {1, 2}) {
      const kernels::OnLoad normed{.norm = true, .relu = true};
      const DirectUnit three{.window = {3, stride, 1, 1}, .load = normed, .affine = true, .sampled = true};
      const DirectUnit five{.window = {5, stride, 4, 2}, .out = 12, .load = normed, .scaled = true};
      cases.push_back(
          twice(DirectCase("", {{2, 8, 10, channels}}, {three, five, pointwise_unit(8, stride, 0, 0, normed)})
                    .backward(true, true, true)));
    }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(separable, StoredOnDevice, testing::ValuesIn(stored_cases()), test_name);

std::vector<Case> stored_pool_cases() {
  std::vector<Case> cases;
  for (Case& c : pool_direct_cases())  // a gamma near zero leaves z a variance below what bfloat16 resolves
    if (!c.name.starts_with("pool_stats ") || c.name.find(" affine") == std::string::npos)
      cases.push_back(std::move(c));
  for (const int stride : {1, 2})  // dx that is added to
    for (const int64_t channels : {6, 20})
      cases.push_back(twice(DirectPoolCase({.xs = {{2, 7, 9, channels}},
                                            .pool = {.stride = {stride, stride}},
                                            .gradients = 2,
                                            .table = true,
                                            .skip = stride == 1})
                                .backward(false)));
  return cases;
}
INSTANTIATE_TEST_SUITE_P(pool, StoredOnDevice, testing::ValuesIn(stored_pool_cases()), test_name);

/// Normed pools, each under drop path with a mask of its own.
Case dropped_pools_case(int64_t channels) {
  Case c{kernels::text("pools under drop path, channels ", channels), {{"x", {5, 7, 6, channels}}}, {}};
  for (const char* name : {"mask_a", "mask_b"})
    c.inputs.push_back({.name = name, .shape = {5}, .fill = CaseInput::Fill::kMask, .differentiate = false});
  c.build = [](autograd::Graph& g, const std::vector<autograd::Value>& in) {
    const autograd::Value a = autograd::avg_pool(g, in[0], {});
    const autograd::Value b = autograd::avg_pool(g, in[0], {.kernel = {5, 5}, .pad = {2, 2}});
    return std::vector{autograd::sum(g, {autograd::apply_mask(g, autograd::batch_norm(g, a, {}), in[1], 0.75),
                                         autograd::apply_mask(g, autograd::batch_norm(g, b, {}), in[2], 0.75)})};
  };
  return c;
}

/// Of one channel at a time and of four, with plain terms and norms, and more terms than a launch has.
std::vector<Case> stored_mix_cases() {
  std::vector<Case> cases = {mix_case({2, 3, 3, 8}, {14, 8}, 45, false)};
  for (const int64_t channels : {8, 17}) {
    cases.push_back(mix_case({2, 5, 7, channels}, {3, 4}, 5, false));
    cases.push_back(mix_pair_case({3, 6, 7, channels}));
    cases.push_back(dropped_pools_case(channels));
    for (Case& c : pooled_norm_cases({2, 7, 6, channels}, false, {})) cases.push_back(std::move(c));
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(mix, StoredOnDevice, testing::ValuesIn(stored_mix_cases()), test_name);

std::vector<Case> stored_reduce_cases() {
  std::vector<Case> cases;
  for (const int64_t channels : {8, 17}) {
    Case c{kernels::text("bn_reduce, channels ", channels), {}, {}};
    for (const char* name : {"dy", "x"})
      c.inputs.push_back({.name = name, .shape = {3, 5, 4, channels}, .differentiate = false});
    for (const char* name : {"mean", "rstd"})
      c.inputs.push_back({.name = name, .shape = {channels}, .differentiate = false});
    c.build = [](autograd::Graph& g, const std::vector<autograd::Value>& in) {
      return g.add(autograd::kBnReduce, in, kernels::BatchNormAttrs{});
    };
    cases.push_back(std::move(c));
  }
  return cases;
}
INSTANTIATE_TEST_SUITE_P(batch_norm, StoredOnDevice, testing::ValuesIn(stored_reduce_cases()), test_name);

std::vector<Case> stored_global_pool_cases() {
  std::vector<Case> cases;
  for (const int64_t channels : {8, 17})
    cases.push_back({kernels::text("global_avg_pool, channels ", channels),
                     {{"x", {3, 5, 4, channels}}},
                     [](autograd::Graph& g, const std::vector<autograd::Value>& in) {
                       return std::vector{autograd::global_avg_pool(g, in[0])};
                     }});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(global_pool, StoredOnDevice, testing::ValuesIn(stored_global_pool_cases()), test_name);

/// A value that is there twice is copied, and the gradients of both add up.
std::vector<Case> stored_copy_cases() {
  std::vector<Case> cases;
  for (const int64_t channels : {4, 17})
    cases.push_back({kernels::text("twice side by side, channels ", channels),
                     {{"x", {2, 3, 5, channels}}},
                     [](autograd::Graph& g, const std::vector<autograd::Value>& in) {
                       return std::vector{autograd::concat(g, {in[0], in[0]}, 3)};
                     }});
  return cases;
}
INSTANTIATE_TEST_SUITE_P(copy, StoredOnDevice, testing::ValuesIn(stored_copy_cases()), test_name);

}  // namespace
}  // namespace mixop::test
