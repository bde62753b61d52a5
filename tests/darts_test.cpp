// What the search steps compute and do not compute.
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <new>
#include <set>

#include "kernels/core/rng.h"
#include "nas/genotypes_published.h"
#include "nas/search/darts.h"
#include "nas/train.h"

namespace {
std::atomic<int64_t> g_allocations{0};
}  // namespace

// Counts every C++ allocation of the process, so that "a step allocates nothing" can be checked.
[[gnu::noinline]] void* operator new(size_t n) {
  ++g_allocations;
  if (void* p = std::malloc(n)) return p;
  throw std::bad_alloc();
}
// std::stable_sort asks for its buffer in this form; all forms must agree with the operator delete below.
[[gnu::noinline]] void* operator new(size_t n, const std::nothrow_t&) noexcept {
  ++g_allocations;
  return std::malloc(n);
}
[[gnu::noinline]] void operator delete(void* p) noexcept { std::free(p); }
[[gnu::noinline]] void operator delete(void* p, size_t) noexcept { std::free(p); }

namespace mixop::test {
namespace {

using nas::DartsOptions;
using nas::DartsSearch;

DartsOptions tiny() {
  DartsOptions o;
  o.net = {.channels = 4, .cells = 3, .height = 16, .width = 16};
  return o;
}

struct Images {
  std::vector<float> pixels;
  std::vector<int32_t> labels;
  nas::Batch batch() const { return {pixels.data(), labels.data(), static_cast<int64_t>(labels.size())}; }
  explicit Images(int n, uint64_t seed) : pixels(static_cast<size_t>(n) * 16 * 16 * 3), labels(n) {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(kernels::normal(seed, 0, i));
    for (int i = 0; i < n; ++i) labels[i] = i % 10;
  }
};

std::set<std::string> ops_of(const autograd::Plan& plan) {
  std::set<std::string> ops;
  for (const auto& step : plan.steps()) ops.insert(step.op);
  return ops;
}

TEST(Darts, ArchitectureStepHasNoWeightGradient) {
  const DartsSearch search(tiny(), {{4}, {4}, {}});
  const auto arch = ops_of(search.arch_plan()), weight = ops_of(search.weight_plan());
  EXPECT_EQ(arch.count("conv2d_wgrad"), 0u);
  EXPECT_EQ(arch.count("sgd_step"), 0u);
  EXPECT_EQ(arch.count("mix_weight_grad"), 1u);
  EXPECT_EQ(arch.count("adam_step"), 1u);
  EXPECT_EQ(weight.count("conv2d_wgrad"), 1u);
  EXPECT_EQ(weight.count("mix_weight_grad"), 0u);
  EXPECT_EQ(weight.count("softmax_grad"), 0u);
  EXPECT_EQ(weight.count("adam_step"), 0u);
  // Neither needs a gradient at the images: the stem has no data gradient.
  for (const auto* plan : {&search.arch_plan(), &search.weight_plan()})
    for (const auto& step : plan->steps())
      EXPECT_FALSE(step.op == "conv2d_dgrad" && step.name.rfind("stem", 0) == 0) << step.name;
}

TEST(Darts, StepsTouchOnlyTheirOwnParameters) {
  DartsSearch search(tiny(), {{4}, {4}, {}});
  const Images images(4, 1);
  const auto bytes = [](autograd::TensorStore& s) {
    return std::string(reinterpret_cast<const char*>(s.data()), static_cast<size_t>(s.elements()) * 4);
  };
  const std::string w0 = bytes(search.stores().weights), a0 = bytes(search.stores().alphas);
  search.arch_step(images.batch());
  EXPECT_EQ(w0, bytes(search.stores().weights));
  const std::string a1 = bytes(search.stores().alphas);
  EXPECT_NE(a0, a1);
  search.weight_step(images.batch());
  EXPECT_NE(w0, bytes(search.stores().weights));
  EXPECT_EQ(a1, bytes(search.stores().alphas));
}

TEST(Darts, StepsAllocateNothing) {
  DartsSearch search(tiny(), {{4}, {4}, {4}});
  const Images images(4, 1);
  const auto step = [&] {
    search.arch_step(images.batch());
    search.weight_step(images.batch());
    search.evaluate(images.batch());
  };
  step();
  const int64_t before = g_allocations;
  step();
  EXPECT_EQ(g_allocations - before, 0);
}

TEST(Darts, SameSeedSameBitsForAnyNumberOfThreads) {
  std::string alphas[3], weights[3];
  const int threads[3] = {1, 2, 2};
  for (int run = 0; run < 3; ++run) {
    DartsSearch search(tiny(), {{4}, {4}, {}}, kernels::DType::kF32, {.threads = threads[run], .poison = true});
    for (uint64_t s = 0; s < 3; ++s) {
      search.arch_step(Images(4, 10 + s).batch());
      search.weight_step(Images(4, 20 + s).batch());
    }
    for (auto [store, to] :
         {std::pair{&search.stores().alphas, &alphas[run]}, {&search.stores().weights, &weights[run]}})
      to->assign(reinterpret_cast<const char*>(store->data()), static_cast<size_t>(store->elements()) * 4);
  }
  for (int run = 1; run < 3; ++run) {
    EXPECT_EQ(alphas[0], alphas[run]);
    EXPECT_EQ(weights[0], weights[run]);
  }
}

TEST(Darts, PinnedModeAgreesBitForBit) {
  std::string weights[2];
  for (const bool pinned : {false, true}) {
    autograd::CompileOptions options;
    if (pinned) options.mode = autograd::CompileOptions::Mode::kPinned;
    DartsSearch search(tiny(), {{4}, {4}, {}}, kernels::DType::kF32, options);
    search.arch_step(Images(4, 1).batch());
    search.weight_step(Images(4, 2).batch());
    auto& store = search.stores().weights;
    weights[pinned].assign(reinterpret_cast<const char*>(store.data()), static_cast<size_t>(store.elements()) * 4);
  }
  EXPECT_EQ(weights[0], weights[1]);
}

TEST(Darts, FusedAndUnfusedAgreeInFloat64) {
  std::vector<double> alphas[2];
  for (const bool fused : {false, true}) {
    DartsSearch search(tiny(), {{4}, {4}, {}}, kernels::DType::kF64, {.fuse = fused});
    for (uint64_t s = 0; s < 2; ++s) {
      search.arch_step(Images(4, 10 + s).batch());
      search.weight_step(Images(4, 20 + s).batch());
    }
    alphas[fused] = search.alphas("alphas_normal");
  }
  for (size_t i = 0; i < alphas[0].size(); ++i) EXPECT_NEAR(alphas[0][i], alphas[1][i], 1e-12);
}

TEST(Darts, RowsOfTheAlphaGradientSumToZero) {
  // Softmax does not change when a constant is added to its logits (reference 1.10, check 3); weight decay off.
  DartsOptions o = tiny();
  o.arch.weight_decay = 0;
  o.arch.beta1 = 0;
  DartsSearch search(o, {{}, {4}, {}}, kernels::DType::kF64);
  search.arch_step(Images(4, 1).batch());
  const int m = search.stores().optimizer.find("alphas.m");
  const double* g = search.stores().optimizer.view(m).as<double>();
  for (int row = 0; row < 28; ++row) {
    double sum = 0, size = 0;
    for (int k = 0; k < 8; ++k) {
      sum += g[row * 8 + k];
      size += std::abs(g[row * 8 + k]);
    }
    EXPECT_GT(size, 0);
    EXPECT_LT(std::abs(sum), 1e-12 * (1 + size));
  }
}

TEST(Darts, ImagesMustDivideByFour) {
  DartsOptions o = tiny();
  o.net.height = 30;
  try {
    DartsSearch search(o, {{4}, {4}, {}});
    FAIL() << "no error";
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("30x16"), std::string::npos) << e.what();
  }
}

TEST(Darts, ShortLastBatchHasItsOwnPlan) {
  DartsSearch search(tiny(), {{4, 2}, {4}, {}});
  EXPECT_EQ(search.weight_step(Images(4, 1).batch()).images, 4);
  EXPECT_EQ(search.weight_step(Images(2, 2).batch()).images, 2);
  EXPECT_THROW(search.weight_step(Images(3, 2).batch()), Error);
}

TEST(Train, LearnsAFixedBatchWithAllTheTrimmings) {
  nas::TrainOptions o;
  o.net.genotype = nas::load_genotype("DARTS_V2");
  o.net.channels = 4;
  o.net.cells = 3;
  o.net.height = o.net.width = 32;
  o.net.auxiliary = true;
  o.epochs = 10;
  o.lr = 0.05;
  nas::NetworkTraining training(o, {8}, {8});
  std::vector<float> pixels(8 * 32 * 32 * 3);
  std::vector<int32_t> labels(8);
  for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(kernels::normal(1, 0, i));
  for (int i = 0; i < 8; ++i) labels[i] = i;
  const nas::Batch batch{pixels.data(), labels.data(), 8};
  const double first = training.step(batch).mean_loss();
  double last = 0;
  for (int i = 0; i < 30; ++i) last = training.step(batch).mean_loss();
  EXPECT_LT(last, 0.6 * first);
  training.begin_epoch(5);
  EXPECT_DOUBLE_EQ(training.stores().state.get("drop_path.keep"), static_cast<float>(0.9));
  EXPECT_TRUE(std::isfinite(training.step(batch).mean_loss()));
}

}  // namespace
}  // namespace mixop::test
