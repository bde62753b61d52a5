#include "bench/step_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <deque>
#include <map>
#include <numeric>

#include "bench/ceilings.h"
#include "bench/device.h"

namespace mixop::bench {

namespace cuda = kernels::cuda;

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void measure_cpu(nas::DartsSearch& search, const nas::Batch& batch, int steps, Timings& to) {
  for (int s = 0; s < steps; ++s) {
    const auto start = Clock::now();
    search.arch_step(batch);
    const double arch = since(start);
    search.weight_step(batch);
    const double both = since(start);
    to.arch.push_back(arch);
    to.weight.push_back(both - arch);
    to.step.push_back(both);
  }
}

void measure_device(nas::DartsSearch& search, const nas::Batch& batch, int steps, Timings& to) {
  cuda::Event begin, middle, end;
  for (int s = 0; s < steps; ++s) {
    cuda::synchronize();
    const auto start = Clock::now();
    begin.record();
    search.begin_arch_step(batch);
    middle.record();
    search.begin_weight_step(batch);
    end.record();
    cuda::synchronize();
    to.step.push_back(since(start));
    to.arch.push_back(middle.seconds_since(begin));
    to.weight.push_back(end.seconds_since(middle));
  }
}

bool is_on_device(const nas::DartsSearch& search) { return search.arch_plan().device() == kernels::Device::kCuda; }

void time_ops(const nas::DartsSearch& search, bool on) {
  for (const autograd::Plan* plan : {&search.arch_plan(), &search.weight_plan()})
    const_cast<autograd::Plan*>(plan)->enable_timing(on);
}

}  // namespace

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

void Timings::print(const char* name) const {
  const auto [low, high] = std::minmax_element(step.begin(), step.end());
  std::printf("%-28s step %.*f s (median of %zu, %.*f to %.*f)  arch %.*f  weight %.*f\n", name, digits,
              median(step), step.size(), digits, *low, digits, *high, digits, median(arch), digits, median(weight));
}

void measure_steps(nas::DartsSearch& search, const nas::Batch& batch, int steps, Timings& to) {
  const bool on_device = is_on_device(search);
  (on_device ? measure_device : measure_cpu)(search, batch, steps, to);
}

double measure_pipelined(nas::DartsSearch& search, const nas::Batch& batch, int steps) {
  constexpr size_t kLate = 16;  // steps; a device keeps the scores of more
  std::deque<nas::PendingScore> scores;
  nas::Score sum;
  const auto read_until = [&](size_t left) {
    for (; scores.size() > left; scores.pop_front()) sum += scores.front().get();
  };
  cuda::synchronize();
  const auto start = Clock::now();
  for (int s = 0; s < steps; ++s) {
    scores.push_back(search.begin_arch_step(batch));
    scores.push_back(search.begin_weight_step(batch));
    read_until(2 * kLate);
  }
  read_until(0);
  cuda::synchronize();
  const double seconds = since(start) / steps;
  MIXOP_CHECK(std::isfinite(sum.loss), "the loss is not finite");
  return seconds;
}

double measure_evaluation(nas::DartsSearch& search, const nas::Batch& batch, int runs) {
  constexpr int kWarmUp = 2;
  auto start = Clock::now();
  for (int i = -kWarmUp; i < runs; ++i) {
    if (i == 0) {
      cuda::synchronize();
      start = Clock::now();
    }
    search.evaluate(batch);
  }
  return since(start) / runs;
}

size_t launches(const autograd::Plan& plan) {
  if (const size_t captured = plan.graph_nodes()) return captured;
  return cuda::CapturedGraph([calls = plan.calls()] { run_calls(calls); }).nodes();
}

void print_ops(nas::DartsSearch& search, const nas::Batch& batch, int steps) {
  const bool on_device = is_on_device(search);
  Timings unused;  // they include the timing
  time_ops(search, true);
  measure_steps(search, batch, steps, unused);
  struct Row {
    double seconds = 0, flops = 0, traffic = 0;
    int calls = 0;
  };
  std::map<std::string, Row> rows;
  for (const autograd::Plan* plan : {&search.arch_plan(), &search.weight_plan()}) {
    const auto infos = plan->steps();
    for (size_t i = 0; i < infos.size(); ++i) {
      Row& row = rows[infos[i].op + " (" + infos[i].impl + ")"];
      row.seconds += plan->seconds()[i] / steps;
      row.flops += infos[i].flops;
      row.traffic += static_cast<double>(infos[i].traffic);
      ++row.calls;
    }
  }
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  const Ceilings& top = on_device ? device_ceilings() : measured_ceilings();
  std::printf("%-36s %6s %9s %9s %8s %8s %8s\n", "op", "calls", "ms/step", "GFLOP/s", "%flops", "GB/s", "%copy");
  for (const auto& [name, r] : sorted)
    std::printf("%-36s %6d %9.*f %9.1f %8.1f %8.1f %8.1f\n", name.c_str(), r.calls, on_device ? 3 : 1,
                r.seconds * 1e3, r.flops / r.seconds / 1e9, 100 * r.flops / r.seconds / 1e9 / top.gflops,
                r.traffic / r.seconds / 1e9, 100 * r.traffic / r.seconds / 1e9 / top.gbytes);
  if (on_device)
    std::printf("each op was waited for, its time includes its launch; ceilings: %s\n", top.means.c_str());
  time_ops(search, false);
}

}  // namespace mixop::bench
