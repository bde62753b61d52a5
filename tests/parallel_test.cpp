// The thread pool: every task once, whatever runs beside it.
#include "kernels/core/parallel.h"

#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

namespace mixop::kernels {
namespace {

TEST(Parallel, EveryTaskRunsOnceOnAKnownThread) {
  for (const int threads : {1, 2, 3, 7}) {
    const Exec exec{threads, nullptr};
    for (int64_t n = 0; n < 300; ++n) {
      std::vector<std::atomic<int>> runs(static_cast<size_t>(n));
      std::atomic<int> bad{0};
      parallel_for(exec, n, [&](int64_t i, int thread) {
        ++runs[i];
        if (thread < 0 || thread >= threads) ++bad;
      });
      for (const auto& r : runs) ASSERT_EQ(r, 1);
      ASSERT_EQ(bad, 0);
    }
  }
}

TEST(Parallel, ThreadsAreDistinctWithinALoop) {
  const Exec exec{4, nullptr};
  for (int round = 0; round < 200; ++round) {
    std::vector<std::atomic<int>> inside(4);
    std::atomic<int> clashes{0};
    parallel_for(exec, 64, [&](int64_t, int thread) {
      if (inside[thread]++ != 0) ++clashes;
      --inside[thread];
    });
    ASSERT_EQ(clashes, 0);
  }
}

TEST(Parallel, NestedAndConcurrentLoopsRunOnTheirCaller) {
  const Exec exec{3, nullptr};
  std::atomic<int64_t> sum{0};
  const auto nested = [&] {
    for (int round = 0; round < 200; ++round)
      parallel_for(exec, 8,
                   [&](int64_t i, int) { parallel_for(exec, 8, [&](int64_t j, int) { sum += i * 8 + j; }); });
  };
  std::thread other(nested);
  nested();
  other.join();
  EXPECT_EQ(sum, int64_t{2} * 200 * (63 * 64 / 2));
}

TEST(Parallel, SleepersWakeUp) {
  const Exec exec{2, nullptr};
  for (int round = 0; round < 20; ++round) {
    std::this_thread::sleep_for(std::chrono::milliseconds(3));  // long enough for the workers to sleep
    std::atomic<int> done{0};
    parallel_for(exec, 50, [&](int64_t, int) { ++done; });
    ASSERT_EQ(done, 50);
  }
}

}  // namespace
}  // namespace mixop::kernels
