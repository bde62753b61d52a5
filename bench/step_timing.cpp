#include "bench/step_timing.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <deque>
#include <numeric>

#include "bench/device.h"

namespace mixop::bench {

namespace cuda = kernels::cuda;

namespace {

using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void measure_cpu(const Subject& subject, int steps, Timings& to) {
  for (int s = 0; s < steps; ++s) {
    const auto start = Clock::now();
    double before = 0;
    for (size_t h = 0; h < subject.halves().size(); ++h) {
      subject.halves()[h].begin();
      const double now = since(start);
      to.halves[h].push_back(now - before);
      before = now;
    }
    to.step.push_back(before);
  }
}

void measure_device(const Subject& subject, int steps, Timings& to) {
  const size_t halves = subject.halves().size();
  std::vector<cuda::Event> marks(halves + 1);
  for (int s = 0; s < steps; ++s) {
    cuda::synchronize();
    const auto start = Clock::now();
    marks[0].record();
    for (size_t h = 0; h < halves; ++h) {
      subject.halves()[h].begin();
      marks[h + 1].record();
    }
    cuda::synchronize();
    to.step.push_back(since(start));
    for (size_t h = 0; h < halves; ++h) to.halves[h].push_back(marks[h + 1].seconds_since(marks[h]));
  }
}

/// Kernels of a plan that has run on a device.
size_t launches(const autograd::Plan& plan) {
  if (const size_t captured = plan.graph_nodes()) return captured;
  return cuda::CapturedGraph([calls = plan.calls()] { run_calls(calls); }).nodes();
}

}  // namespace

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

double mean(const std::vector<double>& v) {
  return std::accumulate(v.begin(), v.end(), 0.0) / static_cast<double>(v.size());
}

void measure_steps(const Subject& subject, int steps, Timings& to) {
  to.halves.resize(subject.halves().size());
  (subject.on_device() ? measure_device : measure_cpu)(subject, steps, to);
}

double measure_pipelined(const Subject& subject, int steps) {
  constexpr size_t kLate = 16;  // steps; a device keeps the scores of more
  std::deque<nas::PendingScore> scores;
  nas::Score sum;
  const auto read_until = [&](size_t left) {
    for (; scores.size() > left; scores.pop_front()) sum += scores.front().get();
  };
  cuda::synchronize();
  const auto start = Clock::now();
  for (int s = 0; s < steps; ++s) {
    for (const Subject::Half& half : subject.halves()) scores.push_back(half.begin());
    read_until(subject.halves().size() * kLate);
  }
  read_until(0);
  cuda::synchronize();
  const double seconds = since(start) / steps;
  MIXOP_CHECK(std::isfinite(sum.loss), "the loss is not finite");
  return seconds;
}

double measure_evaluation(Subject& subject, int runs) {
  constexpr int kWarmUp = 2;
  auto start = Clock::now();
  for (int i = -kWarmUp; i < runs; ++i) {
    if (i == 0) {
      cuda::synchronize();
      start = Clock::now();
    }
    subject.evaluate();
  }
  return since(start) / runs;
}

size_t kernel_calls(const Subject& subject) {
  size_t calls = 0;
  for (const Subject::Half& half : subject.halves())
    calls += subject.on_device() ? launches(*half.plan) : half.plan->steps().size();
  return calls;
}

}  // namespace mixop::bench
