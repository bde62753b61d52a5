// Every case of tests/cases, and the shapes of the DARTS supernet, through Google Benchmark: forward and gradients
// of one op per iteration, with GFLOP/s, GB/s (each operand moved once) and per cent of the ceilings measured by
// this process.
//   op_bench --benchmark_filter='darts/.*' --benchmark_out=ops.json
#include <benchmark/benchmark.h>

#include "bench/ceilings.h"
#include "bench/darts_cases.h"
#include "tests/cases/all.h"
#include "tests/support/runner.h"

namespace mixop::bench {
namespace {

void run_case(benchmark::State& state, const test::Case& c) {
  test::CaseProgram program(c, kernels::DType::kF32);
  program.run(program.inputs());
  double flops = 0, traffic = 0;
  for (const auto& step : program.plan().steps()) {
    flops += step.flops;
    traffic += static_cast<double>(step.traffic);
  }
  for (auto _ : state) program.plan().run();
  const auto rate = [&](double amount, double ceiling, const char* name, const char* percent) {
    using benchmark::Counter;
    const double n = static_cast<double>(state.iterations());
    state.counters[name] = Counter(amount * n / 1e9, Counter::kIsRate);
    state.counters[percent] = Counter(100 * amount * n / 1e9 / ceiling, Counter::kIsRate);
  };
  if (flops > 0) rate(flops, measured_ceilings().gflops, "GFLOP/s", "%flops");
  rate(traffic, measured_ceilings().gbytes, "GB/s", "%copy");
}

}  // namespace
}  // namespace mixop::bench

int main(int argc, char** argv) {
  using namespace mixop;
  benchmark::Initialize(&argc, argv);
  if (benchmark::ReportUnrecognizedArguments(argc, argv)) return 2;
  const auto add = [](const std::string& prefix, const std::vector<test::Case>& cases) {
    for (const test::Case& c : cases)
      benchmark::RegisterBenchmark((prefix + c.name).c_str(),
                                   [c](benchmark::State& state) { bench::run_case(state, c); })
          ->UseRealTime()
          ->Unit(benchmark::kMicrosecond);
  };
  add("darts/", bench::darts_cases());
  add("cases/", test::all_cases());
  benchmark::AddCustomContext("threads", std::to_string(kernels::default_threads()));
  benchmark::AddCustomContext("ceiling GFLOP/s", std::to_string(bench::measured_ceilings().gflops));
  benchmark::AddCustomContext("ceiling GB/s", std::to_string(bench::measured_ceilings().gbytes));
  benchmark::RunSpecifiedBenchmarks();
}
