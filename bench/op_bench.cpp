// Every case of tests/cases, and the shapes of the DARTS supernet, through Google Benchmark: forward and gradients
// of one op per iteration, with GFLOP/s, GB/s (each operand moved once) and per cent of the ceilings measured by
// this process.
//   op_bench --benchmark_filter='darts/.*' --benchmark_out=ops.json
//   op_bench --device cuda --benchmark_filter='^(darts|cudnn|cublas)/'
// On a CUDA device many runs are captured as one graph, which is timed there: no gaps between runs, and operands in
// its cache where they fit (%copy may then pass 100). Cases in which cuDNN or cuBLAS can serve appear a second time
// as cudnn/... or cublas/..., with that library wherever it accepts; labels name the implementations.
#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <set>

#include "bench/ceilings.h"
#include "bench/darts_cases.h"
#include "bench/device.h"
#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::bench {
namespace {

namespace cuda = kernels::cuda;

/// A case that is ready to be timed.
class Measured {
 public:
  Measured(const test::Case& c, const autograd::CompileOptions& options)
      : program_(c, kernels::DType::kF32, options), on_device_(options.device == kernels::Device::kCuda) {
    program_.run(program_.inputs());
    std::set<std::string> impls;
    for (const auto& step : program_.plan().steps()) {
      flops_ += step.flops;
      traffic_ += static_cast<double>(step.traffic);
      if (impls.insert(step.impl).second) impls_ += (impls_.empty() ? "" : " ") + step.impl;
    }
    if (!on_device_) return;
    capture(1);
    replay();
    constexpr double kLongEnough = 200e-6, kMost = 256;
    const double repeats = std::ceil(kLongEnough / std::max(replay(), 1e-9));
    if (repeats > 1) capture(static_cast<int>(std::min(repeats, kMost)));
  }

  void time(benchmark::State& state) {
    if (on_device_) {
      while (state.KeepRunningBatch(repeats_)) state.SetIterationTime(replay());
      state.SetLabel(impls_);
    } else {
      for (auto _ : state) program_.plan().run();
    }
    const Ceilings& top = on_device_ ? device_ceilings() : measured_ceilings();
    const auto rate = [&](double amount, double ceiling, const char* name, const char* percent) {
      using benchmark::Counter;
      const double n = static_cast<double>(state.iterations());
      state.counters[name] = Counter(amount * n / 1e9, Counter::kIsRate);
      state.counters[percent] = Counter(100 * amount * n / 1e9 / ceiling, Counter::kIsRate);
    };
    if (flops_ > 0) rate(flops_, top.gflops, "GFLOP/s", "%flops");
    rate(traffic_, top.gbytes, "GB/s", "%copy");
  }

 private:
  void capture(int repeats) {
    repeats_ = repeats;
    graph_ = std::make_unique<cuda::CapturedGraph>(
        [this, calls = program_.plan().calls()] { run_calls(calls, repeats_); });
  }
  /// Seconds of all that was captured, on the device.
  double replay() {
    start_->record();
    graph_->launch();
    stop_->record();
    stop_->wait();
    return stop_->seconds_since(*start_);
  }

  test::CaseProgram program_;
  bool on_device_;
  double flops_ = 0, traffic_ = 0;
  std::string impls_;
  int repeats_ = 1;
  std::unique_ptr<cuda::CapturedGraph> graph_;
  std::unique_ptr<cuda::Event> start_, stop_;
};

