#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "bench/ceilings.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace mixop::bench::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

/// 16 independent chains of multiply-adds; returns the operations done, `sink` keeps the result alive.
double multiply_add(int64_t rounds, float* sink) {
  const hn::ScalableTag<float> d;
  const auto a = hn::Set(d, 0.999999f), b = hn::Set(d, 1e-6f);
  // Different starts: equal chains would be merged by the compiler.
  const auto start = [&](float at) { return hn::Iota(d, at); };
  auto x0 = start(0.1f), x1 = start(0.2f), x2 = start(0.3f), x3 = start(0.4f);
  auto x4 = start(0.5f), x5 = start(0.6f), x6 = start(0.7f), x7 = start(0.8f);
  auto y0 = start(1.1f), y1 = start(1.2f), y2 = start(1.3f), y3 = start(1.4f);
  auto y4 = start(1.5f), y5 = start(1.6f), y6 = start(1.7f), y7 = start(1.8f);
  for (int64_t i = 0; i < rounds; ++i) {
    x0 = hn::MulAdd(x0, a, b), x1 = hn::MulAdd(x1, a, b), x2 = hn::MulAdd(x2, a, b), x3 = hn::MulAdd(x3, a, b);
    x4 = hn::MulAdd(x4, a, b), x5 = hn::MulAdd(x5, a, b), x6 = hn::MulAdd(x6, a, b), x7 = hn::MulAdd(x7, a, b);
    y0 = hn::MulAdd(y0, a, b), y1 = hn::MulAdd(y1, a, b), y2 = hn::MulAdd(y2, a, b), y3 = hn::MulAdd(y3, a, b);
    y4 = hn::MulAdd(y4, a, b), y5 = hn::MulAdd(y5, a, b), y6 = hn::MulAdd(y6, a, b), y7 = hn::MulAdd(y7, a, b);
  }
  const auto x = hn::Add(hn::Add(hn::Add(x0, x1), hn::Add(x2, x3)), hn::Add(hn::Add(x4, x5), hn::Add(x6, x7)));
  const auto y = hn::Add(hn::Add(hn::Add(y0, y1), hn::Add(y2, y3)), hn::Add(hn::Add(y4, y5), hn::Add(y6, y7)));
  *sink = hn::GetLane(hn::Add(x, y));
  return 2.0 * 16 * static_cast<double>(rounds) * static_cast<double>(hn::Lanes(d));
}

}  // namespace mixop::bench::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <algorithm>
#include <chrono>
#include <cstring>
#include <vector>

#include "bench/ceilings.h"
#include "kernels/core/buffer.h"
#include "kernels/core/parallel.h"

namespace mixop::bench {
HWY_EXPORT(multiply_add);

namespace {

template <class F>
double seconds(F&& f) {
  const auto start = std::chrono::steady_clock::now();
  f();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

Ceilings measure() {
  kernels::Exec exec{kernels::default_threads(), nullptr};
  Ceilings best;
  std::vector<float> sinks(static_cast<size_t>(exec.threads) * 64);
  std::vector<double> done(sinks.size());
  constexpr int kRuns = 7;
  for (int run = 0; run < kRuns; ++run) {
    const double t = seconds([&] {
      kernels::parallel_for(exec, exec.threads, [&](int64_t task, int) {
        done[task * 64] = HWY_DYNAMIC_DISPATCH(multiply_add)(2'000'000, &sinks[task * 64]);
      });
    });
    double flops = 0;
    for (int i = 0; i < exec.threads; ++i) flops += done[i * 64];
    best.gflops = std::max(best.gflops, flops / t / 1e9);
  }
  constexpr size_t kBytes = size_t{256} << 20, kBlock = size_t{1} << 20;
  kernels::Buffer from(kBytes), to(kBytes);
  std::memset(from.data(), 1, kBytes);
  for (int run = 0; run < kRuns; ++run) {
    const double t = seconds([&] {
      kernels::parallel_for(exec, kBytes / kBlock, [&](int64_t i, int) {
        std::memcpy(to.data() + i * kBlock, from.data() + i * kBlock, kBlock);
      });
    });
    best.gbytes = std::max(best.gbytes, 2.0 * kBytes / t / 1e9);
  }
  return best;
}

}  // namespace

const Ceilings& measured_ceilings() {
  static const Ceilings ceilings = measure();
  return ceilings;
}

}  // namespace mixop::bench
#endif
