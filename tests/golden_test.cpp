// Golden cases, each on every device, and what the runner makes of bad ones.
#include "nas/cli/golden.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "autograd/ops/binary.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/unary.h"
#include "kernels/core/check.h"
#include "nas/cli/golden_case.h"
#include "nas/cli/golden_values.h"
#include "nas/cli/npy.h"
#include "nas/cli/tolerance.h"

namespace mixop::cli {
namespace {

namespace fs = std::filesystem;
using Status = GoldenReport::Status;

struct Param {
  fs::path folder;
  std::string device;
  friend void PrintTo(const Param& p, std::ostream* out) { *out << p.folder << " on " << p.device; }
};

std::vector<Param> all_cases() {
  std::vector<Param> params;
  for (const fs::path& folder : find_cases(MIXOP_GOLDEN_DIR))
    for (const std::string& device : usable_golden_devices()) params.push_back({folder, device});
  return params;
}

class Golden : public testing::TestWithParam<Param> {};

TEST_P(Golden, Passes) {
  const GoldenReport r = run_golden_case(GetParam().folder, {GetParam().device}).at(0);
  EXPECT_EQ(r.status, Status::kPass) << r.message << "; error " << r.error << ", bound " << r.bound
                                     << "\nreproduce: mixop verify " << GetParam().folder.string() << " --device "
                                     << GetParam().device;
}

INSTANTIATE_TEST_SUITE_P(All, Golden, testing::ValuesIn(all_cases()), [](const auto& info) {
  return info.param.folder.filename().string() + "_" + info.param.device;
});

TEST(GoldenCases, AreAllHere) { EXPECT_GE(find_cases(MIXOP_GOLDEN_DIR).size(), 119u); }

/// An empty directory that goes away with the test.
class Scratch : public testing::Test {
 protected:
  void SetUp() override {
    const auto* info = testing::UnitTest::GetInstance()->current_test_info();
    dir_ = fs::temp_directory_path() / (std::string("mixop_") + info->name() + "_" + std::to_string(::getpid()));
    fs::remove_all(dir_);
    fs::create_directories(dir_);
  }
  void TearDown() override { fs::remove_all(dir_); }

  fs::path copy(const std::string& name) {
    fs::copy(fs::path(MIXOP_GOLDEN_DIR) / name, dir_ / name);
    return dir_ / name;
  }
  static std::string read(const fs::path& file) {
    std::ifstream in(file, std::ios::binary);
    return {std::istreambuf_iterator<char>(in), {}};
  }
  static void write(const fs::path& file, const std::string& bytes) {
    std::ofstream(file, std::ios::binary | std::ios::trunc) << bytes;
  }
  static void change_manifest(const fs::path& folder, const std::function<void(nlohmann::json&)>& change) {
    auto j = nlohmann::json::parse(read(folder / "manifest.json"));
    change(j);
    write(folder / "manifest.json", j.dump());
  }
  /// Adds to element `index` of a float64 file.
  static void corrupt(const fs::path& file, size_t index, double by) {
    std::string bytes = read(file);
    const size_t at = bytes.size() - read_npy(file).values.size() * 8 + index * 8;
    double v;
    std::memcpy(&v, bytes.data() + at, 8);
    v += by;
    std::memcpy(bytes.data() + at, &v, 8);
    write(file, bytes);
  }
  static std::string npy_error(const fs::path& file) {
    try {
      read_npy(file);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }

  fs::path dir_;
};

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << (text)

using GoldenLowering = Scratch;

TEST_F(GoldenLowering, TheReferenceLoweringPassesToo) {
  for (const char* name : {"darts_tiny", "edge_darts_2_nodes"}) {
    const fs::path folder = copy(name);
    change_manifest(folder, [](nlohmann::json& j) { j["params"]["lowering"] = "reference"; });
    for (const GoldenReport& r : run_golden_case(folder, usable_golden_devices()))
      EXPECT_EQ(r.status, Status::kPass) << name << ": " << r.message;
  }
}

using GoldenBad = Scratch;

TEST_F(GoldenBad, CorruptedOutputFails) {
  const fs::path folder = copy("conv3x3_s2");
  corrupt(folder / "g_w.npy", 5, 1e-4);  // g_w is [4, 3, 3, 3]
  for (const GoldenReport& r : run_golden_case(folder, usable_golden_devices())) {
    EXPECT_EQ(r.status, Status::kFail);
    EXPECT_HAS(r.message, "g_w[0,0,1,2]: want ");
    EXPECT_GT(r.error, r.bound);
  }
}

TEST_F(GoldenBad, ADeviationBeyond1e9FailsInFloat64Only) {
  const fs::path folder = copy("linear");
  corrupt(folder / "y.npy", 0, 1e-8);
  EXPECT_EQ(run_golden_case(folder, {"reference"})[0].status, Status::kFail);
  EXPECT_EQ(run_golden_case(folder, {"cpu"})[0].status, Status::kPass);
}

TEST_F(GoldenBad, NanFails) {
  const fs::path folder = copy("act_relu");
  corrupt(folder / "y.npy", 3, NAN);
  for (const GoldenReport& r : run_golden_case(folder, usable_golden_devices())) EXPECT_EQ(r.status, Status::kFail);
}

TEST_F(GoldenBad, EveryKindOfSupernetTensorIsCompared) {
  for (const std::string name : {"weights_after_2", "steps_alphas_normal", "steps_grad_norm", "steps_val_loss",
                                 "clip1.5_weight_norms", "clip1.5_alphas_normal", "act_cell1", "act_pooled",
                                 "logits", "loss", "grad_weights", "grad_alphas_normal", "final_train_loss"}) {
    const fs::path folder = copy("edge_darts_2_nodes");
    corrupt(folder / (name + ".npy"), 0, 1e-2);
    for (const GoldenReport& r : run_golden_case(folder, usable_golden_devices())) {
      EXPECT_EQ(r.status, Status::kFail) << name;
      EXPECT_HAS(r.message, name + "[0");
    }
    fs::remove_all(folder);
  }
}

TEST_F(GoldenBad, UnknownThingsAreNotCovered) {
  const std::vector<std::pair<std::function<void(nlohmann::json&)>, std::string>> changes = {
      {[](auto& j) { j["op"] = "teleport"; }, "operation 'teleport'"},
      {[](auto& j) { j["params"]["padding_mode"] = "reflect"; }, "parameter 'padding_mode' of conv2d"},
      {[](auto& j) { j["params"]["padding"] = "same"; }, "parameter 'padding' = \"same\""},
      {[](auto& j) { j["params"]["bias"] = false; }, "input 'b' of conv2d"}};
  for (const auto& [change, message] : changes) {
    const fs::path folder = copy("conv1x1_s1");
    change_manifest(folder, change);
    const GoldenReport r = run_golden_case(folder, {"reference"})[0];
    EXPECT_EQ(r.status, Status::kNotCovered);
    EXPECT_HAS(r.message, message);
    EXPECT_FALSE(verify_golden({.folder = dir_}));
    EXPECT_TRUE(verify_golden({.folder = dir_, .allow_uncovered = true}));
    fs::remove_all(folder);
  }
}

TEST_F(GoldenBad, BrokenCasesFailAndTheOthersRun) {
  copy("act_relu");
  write(copy("act_tanh") / "manifest.json", "{\"case\": ");
  fs::remove(copy("linear") / "manifest.json");
  fs::remove(copy("matmul") / "a.npy");
  testing::internal::CaptureStdout();
  EXPECT_FALSE(verify_golden({.folder = dir_, .devices = {"reference"}}));
  const std::string out = testing::internal::GetCapturedStdout();
  EXPECT_HAS(out, "1 passed, 3 failed, 0 not covered");
  EXPECT_HAS(out, "act_tanh/manifest.json: ");
  EXPECT_HAS(out, "linear/manifest.json: cannot be opened");
  EXPECT_HAS(out, "matmul/a.npy: cannot be opened");
  EXPECT_HAS(out, "--case '^matmul$' --device reference)");
}

TEST_F(GoldenBad, ManifestsThatDisagreeWithTheirFiles) {
  const std::vector<std::pair<std::function<void(nlohmann::json&)>, std::string>> changes = {
      {[](auto& j) {
         j["tensors"][0]["shape"] = {7, 5};
       },
       "has shape [5,7], the manifest says [7,5]"},
      {[](auto& j) { j["tensors"][0]["dtype"] = "int64"; }, "holds float64, the manifest says int64"},
      {[](auto& j) { j["tensors"][0]["dtype"] = "float16"; }, "dtype 'float16' is neither float64 nor int64"},
      {[](auto& j) { j["tensors"][0]["file"] = "../x.npy"; }, "is not the name of a file in the case's folder"},
      {[](auto& j) { j["tensors"][1] = j["tensors"][0]; }, "tensor 'x' is listed twice"},
      {[](auto& j) { j.erase("op"); }, "manifest.json: "}};
  for (const auto& [change, message] : changes) {
    const fs::path folder = copy("linear");
    change_manifest(folder, change);
    const GoldenReport r = run_golden_case(folder, {"cpu"})[0];
    EXPECT_EQ(r.status, Status::kFail);
    EXPECT_HAS(r.message, message);
    fs::remove_all(folder);
  }
}

TEST_F(GoldenBad, NothingToRun) {
  EXPECT_THROW(verify_golden({.folder = dir_}), Error);
  EXPECT_THROW(verify_golden({.folder = dir_ / "missing"}), Error);
  copy("linear");
  EXPECT_THROW(verify_golden({.folder = dir_, .filter = "conv"}), Error);
  EXPECT_TRUE(verify_golden({.folder = dir_ / "linear", .devices = {"reference"}}));
}

using Npy = Scratch;

TEST_F(Npy, BadFiles) {
  const std::string good = read(fs::path(MIXOP_GOLDEN_DIR) / "linear" / "x.npy");  // [5, 7]
  const auto replaced = [&](const std::string& from, const std::string& to) {
    std::string s = good;
    return s.replace(s.find(from), from.size(), to);
  };
  const std::vector<std::pair<std::string, std::string>> files = {
      {"", "is not an .npy file"},
      {"PK" + good.substr(2), "is not an .npy file"},
      {good.substr(0, 40), "ends inside its header"},
      {good.substr(0, good.size() - 3), "has 277 bytes of data, its shape needs 280"},
      {good + "x", "has 281 bytes of data, its shape needs 280"},
      {replaced("<f8", ">f8"), "holds values of type '>f8'"},
      {replaced("<f8", "<f4"), "holds values of type '<f4'"},
      {replaced("False", "True "), "is in Fortran order"},
      {replaced("(5, 7)", "(5, 8)"), "its shape needs 320"},
      {replaced("(5, 7)", "(5,-7)"), "'shape' holds '-7'"},
      {replaced("(5, 7)", " 5, 7 "), "'shape' is not a tuple"},
      {replaced("'shape'", "'shale'"), "has a header without 'shape'"},
      {std::string("\x93NUMPY\x09\x00", 8) + good.substr(8), "has format version 9"}};
  for (const auto& [bytes, message] : files) {
    write(dir_ / "a.npy", bytes);
    const std::string error = npy_error(dir_ / "a.npy");
    EXPECT_HAS(error, "a.npy: ");
    EXPECT_HAS(error, message);
  }
  EXPECT_HAS(npy_error(dir_ / "missing.npy"), "cannot be opened");
}

TEST_F(Npy, GoodFiles) {
  const NpyArray x = read_npy(fs::path(MIXOP_GOLDEN_DIR) / "linear" / "x.npy");
  EXPECT_EQ(x.shape, (std::vector<int64_t>{5, 7}));
  EXPECT_FALSE(x.integers);
  const NpyArray labels = read_npy(fs::path(MIXOP_GOLDEN_DIR) / "cross_entropy_none" / "labels.npy");
  EXPECT_EQ(labels.shape, std::vector<int64_t>{6});
  EXPECT_TRUE(labels.integers);
}

TEST(GoldenValues, AxesMoveAndComeBack) {
  const Extents image = {2, 3, 1, 2}, kernel = {2, 1, 1, 3};  // [N,C,H,W], [out,in,kh,kw]
  Values v(12), w(6);
  for (size_t i = 0; i < v.size(); ++i) v[i] = static_cast<double>(i);
  for (size_t i = 0; i < w.size(); ++i) w[i] = static_cast<double>(i);
  EXPECT_EQ(graph_shape(image, Layout::kImage), (kernels::Shape{2, 1, 2, 3}));
  EXPECT_EQ(to_graph(v, image, Layout::kImage), (Values{0, 2, 4, 1, 3, 5, 6, 8, 10, 7, 9, 11}));
  EXPECT_EQ(to_file(to_graph(v, image, Layout::kImage), image, Layout::kImage), v);
  EXPECT_EQ(graph_shape(kernel, Layout::kKernel), (kernels::Shape{1, 3, 1, 2}));
  EXPECT_EQ(to_graph(w, kernel, Layout::kKernel), (Values{0, 3, 1, 4, 2, 5}));
  EXPECT_EQ(to_file(to_graph(w, kernel, Layout::kKernel), kernel, Layout::kKernel), w);
}

TEST(Tolerance, LongestReductionOfAConvolution) {
  autograd::Graph g;
  const auto x = g.input("x", {2, 4, 5, 6}), w = g.input("w", {3, 3, 3, 8});
  kernels::Conv2dAttrs a;
  a.kernel = {3, 3};
  a.groups = 2;
  autograd::conv2d(g, x, w, a);
  EXPECT_EQ(longest_reduction(g), 27);
  EXPECT_EQ(tolerance_factor(g), 4 * std::sqrt(27.0));
}

/// The gradient of sum(relu(a * b)) by a, for elements of a * b far from zero and one within rounding of it.
TEST(Tolerance, PerturbationsMoveWhatRoundingMoves) {
  autograd::Graph g(kernels::DType::kF64);
  const auto a = g.input("a", {4}), b = g.input("b", {4}), up = g.input("up", {4});
  const auto y = autograd::relu(g, autograd::mul(g, a, b));
  std::vector<autograd::Value> asked = {y, autograd::gradients(g, y, {a}, up)[0]};
  const autograd::Graph moved = perturbable(g, asked);
  autograd::Plan plan(moved, asked, nullptr, {.fuse = false});
  const auto run = [&](Perturbation p) {
    to_view({1, -1, 0.5, 1e-8}, plan.input("a"));
    to_view({2, 2, 2, 2}, plan.input("b"));
    to_view({1, 1, 1, 1}, plan.input("up"));
    fill_perturbation(plan, moved, p);
    plan.run();
    return std::pair{from_view(plan.output(asked[0])), from_view(plan.output(asked[1]))};
  };
  const auto exact = run({});
  EXPECT_EQ(exact.first, (Values{2, 0, 1, 2e-8}));
  EXPECT_EQ(exact.second, (Values{2, 0, 2, 2}));

  const auto noisy = run({Perturbation::Kind::kNoise, 0});
  EXPECT_NE(noisy.first[0], 2);
  EXPECT_NEAR(noisy.first[0], 2, 5 * kEps32);
  EXPECT_NE(noisy.first, run({Perturbation::Kind::kNoise, 1}).first);

  EXPECT_EQ(run({Perturbation::Kind::kKinks, 0}).second, (Values{2, 0, 2, 2}));  // up: 2e-8 stays positive
  EXPECT_EQ(run({Perturbation::Kind::kKinks, 1}).second, (Values{2, 0, 2, 0}));  // down: it does not
  EXPECT_EQ(run({Perturbation::Kind::kKinks, 1}).first, exact.first);
}

}  // namespace
}  // namespace mixop::cli
