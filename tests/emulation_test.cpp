// The emulator's own tests: right kernels pass, and every kind of mistake that it is there for is found, with a
// message that names kernel, block and thread.
#include <gtest/gtest.h>

#include <chrono>
#include <numeric>
#include <thread>

#include "tests/support/broken_kernels.cuh"

namespace mixop::kernels {
namespace {

constexpr size_t kPageFloats = 1024;  // buffers of whole pages touch the guard pages on both sides

/// n floats 0, 1, 2, ... on the emulated device.
struct DeviceFloats {
  explicit DeviceFloats(size_t n_) : n(n_) {
    MIXOP_CUDA_CHECK(cudaMalloc(&data, n * sizeof(float)));
    std::iota(data, data + n, 0.0f);
  }
  DeviceFloats(const DeviceFloats&) = delete;
  ~DeviceFloats() { (void)cudaFree(data); }
  std::vector<float> values() const { return {data, data + n}; }
  float* data = nullptr;
  size_t n;
};

/// What a launch that must fail says.
template <class F>
std::string error_of(F&& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

/// The line that names the kernel, any block and thread, followed by `what` (a regular expression).
std::string says(const std::string& kernel, const std::string& what) {
  return "emulated kernel '" + kernel +
         "', block \\([0-9]+,[0-9]+,[0-9]+\\), thread \\([0-9]+,[0-9]+,[0-9]+\\): " + what;
}
#define EXPECT_SAYS(kernel, what, ...) EXPECT_MATCHES(error_of([&] { __VA_ARGS__; }), says(kernel, what))
#define EXPECT_MATCHES(text, pattern) \
  EXPECT_TRUE(testing::internal::RE::PartialMatch(text, testing::internal::RE(pattern))) << (text)

const Exec exec{};

TEST(Emulation, RunsReductionsOverSeveralBlocks) {
  DeviceFloats x(4 * kThreads), y(4);
  cuda::launch(exec, "sum_blocks", sum_blocks, 4, kThreads, 0, x.data, y.data);
  for (size_t b = 0; b < 4; ++b) EXPECT_EQ(y.data[b], 256 * (256 * static_cast<float>(b)) + 255 * 128) << b;
  EXPECT_TRUE(emulation::launched().contains("sum_blocks"));
}

TEST(Emulation, RunsTransposeWithSharedTile) {
  DeviceFloats x(48 * 48), y(48 * 48);
  cuda::launch(exec, "transpose", transpose, dim3(3, 3), dim3(16, 16), 0, x.data, y.data, 48);
  for (size_t r = 0; r < 48; ++r)
    for (size_t c = 0; c < 48; ++c) ASSERT_EQ(y.data[c * 48 + r], x.data[r * 48 + c]);
}

TEST(Emulation, RunsDynamicSharedMemory) {
  DeviceFloats x(3 * 100), y(3 * 100);
  cuda::launch(exec, "running_sum", running_sum, 3, 100, 100 * sizeof(float), x.data, y.data);
  for (size_t b = 0; b < 3; ++b)
    for (size_t i = 0, sum = 0; i < 100; ++i)
      ASSERT_EQ(y.data[100 * b + i], static_cast<float>(sum += 100 * b + i));
  EXPECT_SAYS("running_sum", "index out of range: sums\\[99\\] of 99 elements",
              cuda::launch(exec, "running_sum", running_sum, 3, 100, 99 * sizeof(float), x.data, y.data));
}

TEST(Emulation, ShufflesFollowTheProgrammingGuide) {
  int* y = nullptr;
  MIXOP_CUDA_CHECK(cudaMalloc(&y, 64 * 12 * sizeof(int)));
  cuda::launch(exec, "shuffles", shuffles, 1, 64, 0, y);
  for (int t = 0; t < 64; ++t) {
    const int lane = t % 32, first = lane / 8 * 8;
    const int* out = y + 12 * t;
    EXPECT_EQ(out[0], 11);
    EXPECT_EQ(out[1], first + 3);
    EXPECT_EQ(out[2], lane - first >= 3 ? lane - 3 : lane);
    EXPECT_EQ(out[3], lane - first < 5 ? lane + 3 : lane);
    EXPECT_EQ(out[4], lane ^ 5);
    EXPECT_EQ(out[5], lane < 16 ? lane : lane - 16);  // a lane of an earlier group may be read, a later one not
    EXPECT_EQ(out[6], 0x49249249);
    EXPECT_EQ(out[7], 1);
    EXPECT_EQ(out[8], 0);
    EXPECT_EQ(static_cast<unsigned>(out[9]), lane < 16 ? 0xFFFFu : 0xFFFF0000u);
    EXPECT_EQ(out[10], lane < 16 ? lane ^ 1 : -1);
    EXPECT_EQ(out[11], lane < 16 ? -1 : std::min(lane + 1, 31));
  }
  (void)cudaFree(y);
}

TEST(Emulation, SeedsChangeTheOrderAndNotTheResult) {
  static std::vector<unsigned> order;  // of blocks, noted by the kernel itself: it runs on this machine
  void (*const note)(float*) = [](float*) {
    if (threadIdx.x == 0) order.push_back(blockIdx.x);
  };
  const auto run = [&](uint64_t seed) {
    emulation::set_seed(seed);
    DeviceFloats x(64 * kThreads), y(64);
    order.clear();
    cuda::launch(exec, "note", note, 64, 2, 0, x.data);
    cuda::launch(exec, "sum_blocks", sum_blocks, 64, kThreads, 0, x.data, y.data);
    return std::pair(order, y.values());
  };
  const auto a = run(1), b = run(2), again = run(1);
  EXPECT_NE(a.first, b.first);
  EXPECT_EQ(a.first, again.first);
  EXPECT_EQ(a.second, b.second);
}

TEST(Emulation, FindsMissingBarriers) {
  std::string found;
  for (uint64_t seed = 1; seed <= 20; ++seed) {  // found in every order, not only in one that goes wrong
    emulation::set_seed(seed);
    DeviceFloats x(2 * kThreads), y(2 * kThreads);
    const auto run = [&](auto kernel) { cuda::launch(exec, "rotate", kernel, 2, kThreads, 0, x.data, y.data, 2); };
    run(rotate<Break::kNothing>);
    EXPECT_EQ(y.data[0], 2);
    EXPECT_EQ(y.data[511], 257);
    const std::string race =
        "(reads|writes) tile\\[[0-9]+\\], which thread .*(wrote|read), without a barrier in between";
    EXPECT_SAYS("rotate", "(" + race + "|reads tile\\[[0-9]+\\], which nobody wrote)",
                run(rotate<Break::kFirstBarrier>));
    EXPECT_SAYS("rotate", race, run(rotate<Break::kSecondBarrier>));
    found += error_of([&] { run(rotate<Break::kSecondBarrier>); }) + "\n";
  }
  EXPECT_MATCHES(found, "reads tile\\[[0-9]+\\], which thread .* wrote");
  EXPECT_MATCHES(found, "writes tile\\[[0-9]+\\], which thread .* read");
}

TEST(Emulation, FindsWrongIndicesAndUnwrittenElements) {
  DeviceFloats x(kThreads), y(kThreads);
  const auto run = [&](auto kernel, unsigned threads = kThreads) {
    cuda::launch(exec, "rotate", kernel, 1, threads, 0, x.data, y.data, 1);
  };
  EXPECT_SAYS("rotate", "index out of range: tile\\[256\\] of 256 elements", run(rotate<Break::kIndex>));
  EXPECT_SAYS("rotate", "reads tile\\[7\\], which nobody wrote in this block", run(rotate<Break::kUnwritten>));
  run(rotate<Break::kNothing>);  // what an earlier launch wrote does not count
  EXPECT_SAYS("rotate", "reads tile\\[255\\], which nobody wrote in this block", run(rotate<Break::kNothing>, 255));
}

TEST(Emulation, KnowsOrderWithinAWarp) {
  DeviceFloats x(2 * kThreads), y(2 * kThreads);
  const auto run = [&](auto kernel) { cuda::launch(exec, "rotate_warp", kernel, 2, kThreads, 0, x.data, y.data); };
  run(rotate_warp<32, 32>);
  EXPECT_EQ(y.data[0], 1);
  EXPECT_EQ(y.data[31], 0);
  EXPECT_EQ(y.data[32], 33);
  run(rotate_warp<16, 16>);
  EXPECT_EQ(y.data[31], 16);
  run(rotate_warp<16, 32>);
  EXPECT_SAYS("rotate_warp", "(reads|writes) slots\\[", run(rotate_warp<32, 0>));
  EXPECT_SAYS("rotate_warp", "(reads|writes) slots\\[", run(rotate_warp<32, 16>));
  EXPECT_SAYS("write_together", "writes flag\\[0\\], which thread \\(.*\\) wrote, without",
              cuda::launch(exec, "write_together", write_together, 1, 64, 0, x.data));
}

TEST(Emulation, FindsDivergence) {
  DeviceFloats x(64);
  const auto run = [&](const char* name, void (*kernel)(float*), unsigned threads = 64) {
    cuda::launch(exec, name, kernel, 1, threads, 0, x.data);
  };
  EXPECT_SAYS("barrier_after_return", "divergent barrier: .* while thread \\(5,0,0\\) has returned",
              run("barrier_after_return", barrier_after_return));
  EXPECT_SAYS("barrier_in_branch", "divergent barrier: waits at .*broken_kernels.cuh:[0-9]+ while others wait at",
              run("barrier_in_branch", barrier_in_branch));
  EXPECT_SAYS("shuffle_in_branch", "divergent __shfl_xor_sync at .* mask 0xffffffff: lane 20 has returned",
              run("shuffle_in_branch", shuffle_in_branch));
  EXPECT_SAYS("shuffle_beside_barrier", "divergent __shfl_xor_sync at .* lane 20 waits at the barrier at",
              run("shuffle_beside_barrier", shuffle_beside_barrier));
  EXPECT_SAYS("shuffles_in_two_branches", "divergent __shfl_sync at .*: lane [0-9]+ is in __shfl_sync at",
              run("shuffles_in_two_branches", shuffles_in_two_branches));
  EXPECT_SAYS("shuffle_from_outside_mask", ".* reads lane 16, which is not in the mask",
              run("shuffle_from_outside_mask", shuffle_from_outside_mask));
  EXPECT_SAYS("shuffle_from_absent_lane", ".* reads lane 31, which the block does not have",
              run("shuffle_from_absent_lane", shuffle_from_absent_lane, 20));
  run("double_it", double_it);  // an error leaves nothing behind
}

TEST(Emulation, FindsKernelsThatDoNotWait) {
  DeviceFloats x(256);
  const auto run = [&](const char* name, void (*kernel)(float*), bool dependent) {
    Exec early;
    early.dependent = dependent;
    cuda::launch_dependent(early, name, kernel, 1, 64, 0, x.data);
  };
  run("double_after_wait", double_after_wait, true);
  EXPECT_EQ(x.data[63], 126);
  const std::string unsafe = " without having waited for the kernel ahead, which may still run";
  EXPECT_SAYS("double_it", "returns" + unsafe, run("double_it", double_it, true));
  EXPECT_SAYS("wait_in_branch", "returns" + unsafe, run("wait_in_branch", wait_in_branch, true));
  EXPECT_SAYS("load_before_wait", "reads or writes device memory" + unsafe,
              run("load_before_wait", load_before_wait, true));
  for (auto* kernel : {double_after_wait, wait_in_branch, load_before_wait, double_it}) run("late", kernel, false);
  Exec early;
  early.dependent = true;  // launch() takes no notice
  cuda::launch(early, "double_it", double_it, 1, 64, 0, x.data);
}

TEST(EmulationDeathTest, FindsAccessesOutsideBuffers) {
  DeviceFloats x(kPageFloats), y(kPageFloats);
  const auto run = [&](const char* name, auto kernel, int shift) {
    cuda::launch(exec, name, kernel, kPageFloats / 64, 64, 0, x.data, y.data, shift);
  };
  run("copy_from", copy_from, 0);
  const std::string outside = "access to address 0x[0-9a-f]+ outside its buffers: ";
  EXPECT_DEATH(run("copy_to", copy_to, 1),
               says("copy_to", outside + "0 bytes behind the end of the allocation of 4096 bytes"));
  EXPECT_DEATH(run("copy_from", copy_from, 3), says("copy_from", outside + "[048] bytes behind the end"));
  EXPECT_DEATH(run("copy_from", copy_from, -1), says("copy_from", outside + "4 bytes before the begin"));
  EXPECT_DEATH(cuda::launch(exec, "endless_recursion", endless_recursion, 1, 32, 0, x.data),
               says("endless_recursion", outside + "the thread's stack is full"));
}

TEST(EmulationDeathTest, GuardsSmallBuffersOnEitherSide) {
  DeviceFloats y(64);
  for (const bool before : {false, true}) {
    emulation::guard_before(before);
    DeviceFloats x(64);
    emulation::guard_before(false);
    const int shift = before ? -1 : 1;
    EXPECT_DEATH(
        cuda::launch(exec, "copy_from", copy_from, 1, 64, 0, x.data, y.data, shift),
        says("copy_from", "access .* bytes (before the begin|behind the end) of the allocation of 256 bytes"));
  }
}

TEST(Emulation, FindsMisalignedVectors) {
  DeviceFloats x(64), y(64);
  cuda::launch(exec, "copy4", copy4, 1, 8, 0, x.data, y.data);
  EXPECT_EQ(y.data[31], 31);
  EXPECT_SAYS("copy4", "misaligned access of 16 bytes at 0x",
              cuda::launch(exec, "copy4", copy4, 1, 8, 0, x.data + 1, y.data));
}

TEST(Emulation, ChecksLaunchLimits) {
  DeviceFloats x(kThreads);
  const auto run = [&](dim3 grid, dim3 block, size_t shared) {
    cuda::launch(exec, "double_it", double_it, grid, block, shared, x.data);
  };
  const std::string configuration = "invalid configuration argument .* in double_it";
  EXPECT_MATCHES(error_of([&] { run(1, 1025, 0); }), configuration);
  EXPECT_MATCHES(error_of([&] { run(1, 0, 0); }), configuration);
  EXPECT_MATCHES(error_of([&] { run(1, dim3(1, 1, 65), 0); }), configuration);
  EXPECT_MATCHES(error_of([&] { run(1, dim3(64, 32), 0); }), configuration);
  EXPECT_MATCHES(error_of([&] { run(dim3(1, 65536), 1, 0); }), configuration);
  EXPECT_MATCHES(error_of([&] { run(1, 1, (48 << 10) + 1); }), "invalid argument .* in double_it");
  EXPECT_SAYS("too_much_shared", "with b the block has 49160 bytes of shared memory, more than 49152",
              cuda::launch(exec, "too_much_shared", too_much_shared, 1, 32, 0, x.data));
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
  EXPECT_EQ(cudaGetLastError(), cudaSuccess);
}

TEST(Emulation, AsksForOptingInToMoreSharedMemory) {
  constexpr int kMost = 99 << 10, kSixty = 60 << 10;
  DeviceFloats x(kThreads), y(kThreads);
  const auto run = [&](size_t shared) {
    cuda::launch(exec, "running_sum", running_sum, 1, kThreads, shared, x.data, y.data);
  };
  EXPECT_MATCHES(error_of([&] { run(kSixty); }), "invalid argument .* in running_sum");
  EXPECT_EQ(cudaFuncSetAttribute(running_sum, cudaFuncAttributeMaxDynamicSharedMemorySize, kMost + 1),
            cudaErrorInvalidValue);
  EXPECT_EQ(cudaFuncSetAttribute(running_sum, cudaFuncAttributeMaxDynamicSharedMemorySize, kSixty), cudaSuccess);
  run(kSixty);
  EXPECT_MATCHES(error_of([&] { run(kSixty + 1); }), "invalid argument .* in running_sum");
  cuda::opt_in_to_shared(running_sum);
  run(cuda::kMostSharedBytes);
  EXPECT_EQ(cudaGetLastError(), cudaErrorInvalidValue);
}

TEST(Emulation, RefusesTwoHostThreadsAtOnce) {
  static float* y = nullptr;
  static std::string error;
  DeviceFloats x(64);
  y = x.data;
  void (*const outer)(int) = [](int) {
    std::thread([] { error = error_of([] { cuda::launch(exec, "double_it", double_it, 1, 64, 0, y); }); }).join();
  };
  cuda::launch(exec, "outer", outer, 1, 1, 0, 0);
  EXPECT_MATCHES(error, "two host threads launch at once \\(kernel 'double_it'\\)");
}

TEST(Emulation, PrintsItsSpeed) {
  DeviceFloats x(64 * kThreads), y(64);
  const auto seconds = [&](auto&& launch) {
    double best = 1e9;
    for (int i = 0; i < 20; ++i) {
      const auto start = std::chrono::steady_clock::now();
      launch();
      best = std::min(best, std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
    }
    return best;
  };
  const double sums =
      seconds([&] { cuda::launch(exec, "sum_blocks", sum_blocks, 64, kThreads, 0, x.data, y.data); });
  const double plain = seconds([&] { cuda::launch(exec, "double_it", double_it, 64, kThreads, 0, x.data); });
  std::printf(
      "64 blocks of 256 threads: %.2f ms with 5 shuffles and 2 barriers each, %.2f ms without (%.1f ns a thread)\n",
      1e3 * sums, 1e3 * plain, 1e9 * plain / (64 * kThreads));
}

}  // namespace
}  // namespace mixop::kernels
