// Every case of tests/cases, and the shapes of the DARTS supernet, through Google Benchmark: forward and gradients
// of one op per iteration, with GFLOP/s, GB/s (each operand moved once) and per cent of the ceilings measured by
// this process; %roof is the time that the roofline allows (bench/planned_bytes.h) over the time taken. The fused
// operations of the supernet stand beside those they are made of (bench/fused_cases.h); MIXOP_FUSE=0 takes them
// apart.
//   op_bench --benchmark_filter='darts/.*' --benchmark_out=ops.json
//   op_bench --device cuda --benchmark_filter='^(darts|cudnn|cublas)/'
// On a CUDA device several runs are captured as one graph and timed there: there are no gaps between runs, and
// small operands stay in its cache (%copy may then pass 100). Supernet shapes that cuDNN or cuBLAS can serve appear
// again as cudnn/... or cublas/..., with that library wherever it accepts; labels name the implementations.
#include <benchmark/benchmark.h>

#include <CLI/CLI.hpp>
#include <cmath>
#include <memory>
#include <optional>
#include <set>

#include "bench/ceilings.h"
#include "bench/darts_cases.h"
#include "bench/device.h"
#include "bench/fused_cases.h"
#include "bench/planned_bytes.h"
#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::bench {
namespace {

using autograd::CompileOptions;
namespace cuda = kernels::cuda;

/// Runs of a plan on a CUDA device, captured as one graph: so many that they can be timed.
class Replay {
 public:
  explicit Replay(const autograd::Plan& plan) : calls_(plan.calls()) {
    capture(1);
    constexpr double kLongEnough = 200e-6, kMost = 256;
    const double wanted = std::ceil(kLongEnough / std::max(seconds(), 1e-9));
    if (wanted > 1) capture(static_cast<int>(std::min(wanted, kMost)));
  }
  int runs() const { return runs_; }
  /// Of all runs, on the device.
  double seconds() {
    start_.record();
    graph_->launch();
    stop_.record();
    stop_.wait();
    return stop_.seconds_since(start_);
  }

 private:
  void capture(int runs) {
    runs_ = runs;
    graph_ = std::make_unique<cuda::CapturedGraph>([&] { run_calls(calls_, runs); });
    seconds();  // the first launch takes longer
  }

  std::vector<autograd::Plan::CallInfo> calls_;
  int runs_ = 0;
  cuda::Event start_, stop_;
  std::unique_ptr<cuda::CapturedGraph> graph_;
};

/// A case that is ready to be timed.
class Prepared {
 public:
  Prepared(const test::Case& c, const CompileOptions& options) : program_(c, kernels::DType::kF32, options) {
    program_.run(program_.inputs());
    if (options.device == kernels::Device::kCuda) replay_.emplace(program_.plan());
  }

  void time(benchmark::State& state) {
    if (replay_) {
      while (state.KeepRunningBatch(replay_->runs())) state.SetIterationTime(replay_->seconds());
    } else {
      for (auto _ : state) program_.plan().run();
    }
    const Ceilings& top = replay_ ? device_ceilings() : measured_ceilings();
    double flops = 0, traffic = 0, allowed = 0;
    std::set<std::string> impls;
    const auto steps = program_.plan().steps();
    const auto calls = program_.plan().calls();
    for (size_t i = 0; i < steps.size(); ++i) {
      const double bytes = planned_bytes(calls[i].call);
      flops += steps[i].flops;
      traffic += bytes;
      allowed += allowed_seconds(steps[i].flops, bytes, top);
      impls.insert(steps[i].impl);
    }
    std::string label;
    for (const std::string& impl : impls) label += (label.empty() ? "" : " ") + impl;
    if (replay_) state.SetLabel(label);
    const auto rate = [&](double amount, double ceiling, const char* name, const char* percent) {
      using benchmark::Counter;
      const double n = static_cast<double>(state.iterations());
      state.counters[name] = Counter(amount * n / 1e9, Counter::kIsRate);
      state.counters[percent] = Counter(100 * amount * n / 1e9 / ceiling, Counter::kIsRate);
    };
    if (flops > 0) rate(flops, top.gflops, "GFLOP/s", "%flops");
    rate(traffic, top.gbytes, "GB/s", "%copy");
    state.counters["%roof"] =
        benchmark::Counter(100 * allowed * static_cast<double>(state.iterations()), benchmark::Counter::kIsRate);
  }

 private:
  test::CaseProgram program_;
  std::optional<Replay> replay_;
};

/// The options that ask for a library wherever it accepts; nothing when that is nowhere in the case.
std::optional<CompileOptions> with_library(const test::Case& c, CompileOptions options,
                                           const std::string& library) {
  const auto steps = [&] { return test::CaseProgram(c, kernels::DType::kF32, options).plan().steps(); };
  auto wishes = std::make_shared<autograd::Choices>();
  for (const auto& step : steps()) (*wishes)[step.key] = library;
  options.tuned = wishes;
  for (const auto& step : steps())
    if (step.impl == library) return options;
  return {};
}

/// Registers benchmarks; must live while they run.
class Registry {
 public:
  explicit Registry(const CompileOptions& options) : options_(options) {}

  void add(const std::string& prefix, const std::vector<test::Case>& cases) {
    for (const test::Case& c : cases) add(prefix + c.name, c, options_);
  }
  void add_library(const std::string& library, const std::vector<test::Case>& cases) {
    for (const test::Case& c : cases)
      if (const auto options = with_library(c, options_, library)) add(library + "/" + c.name, c, *options);
  }

 private:
  void add(const std::string& name, const test::Case& c, const CompileOptions& options) {
    const auto time = [this, name, c, options](benchmark::State& state) {
      if (name_ != name) {  // Google Benchmark calls again until it knows how many iterations it wants
        prepared_.reset();
        prepared_ = std::make_unique<Prepared>(c, options);
        name_ = name;
      }
      prepared_->time(state);
    };
    auto* added = benchmark::RegisterBenchmark(name.c_str(), time)->Unit(benchmark::kMicrosecond);
    if (options_.device == kernels::Device::kCuda) added->UseManualTime();
    else added->UseRealTime();
  }

  CompileOptions options_;
  std::string name_;
  std::unique_ptr<Prepared> prepared_;
};

int run(const std::string& device) {
  CompileOptions options;
  options.device = open_device(device);
  Registry registry(options);
  const std::vector<test::Case> darts = darts_cases();
  registry.add("darts/", darts);
  registry.add("darts/", fused_cases());
  registry.add("cases/", test::all_cases());
  const bool on_device = options.device == kernels::Device::kCuda;
  const Ceilings& top = on_device ? device_ceilings() : measured_ceilings();
  if (on_device) {
    for (const char* library : {"cudnn", "cublas"}) registry.add_library(library, darts);
    benchmark::AddCustomContext("device", cuda::selected().name);
    benchmark::AddCustomContext("ceilings", top.means);
  } else {
    benchmark::AddCustomContext("threads", std::to_string(kernels::default_threads()));
  }
  benchmark::AddCustomContext("ceiling GFLOP/s", std::to_string(top.gflops));
  benchmark::AddCustomContext("ceiling GB/s", std::to_string(top.gbytes));
  benchmark::RunSpecifiedBenchmarks();
  return 0;
}

}  // namespace
}  // namespace mixop::bench

int main(int argc, char** argv) {
  benchmark::Initialize(&argc, argv, [] {
    std::puts("op_bench [--device cpu | cuda | cuda:N] and");
    benchmark::PrintDefaultHelp();
  });
  CLI::App app;
  std::string device = "cpu";
  app.add_option("--device", device, "cpu, cuda or cuda:N")->capture_default_str();
  CLI11_PARSE(app, argc, argv);
  try {
    return mixop::bench::run(device);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "op_bench: %s\n", e.what());
    return 1;
  }
}
