#include "autograd/tuning.h"

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>
#include <map>
#include <memory>
#include <optional>

#include "autograd/passes/passes.h"
#include "kernels/core/rng.h"

namespace mixop::autograd {
namespace {

using kernels::Buffer;
using kernels::Device;
using kernels::Impl;
using kernels::Memory;
using kernels::View;
namespace cuda = kernels::cuda;

constexpr int kMostRepeats = 256;
constexpr int kFirstRuns = 3;
constexpr double kFirstSeconds = 20e-3;  // of these runs together; longer than what the system takes away at once
constexpr double kHopeless = 10;         // times slower than the fixed choice: not measured again

size_t bytes_of(const View& v) {
  return v.rows() ? static_cast<size_t>((v.rows() - 1) * v.ld + v.last()) * size_of(v.dtype) : 0;
}

/// Finite values for `bytes` bytes. What has one axis may be variances, learning rates or counters: positive.
/// Whole numbers may be labels or draws, where 0 is always valid; the memory is zeroed.
void fill(std::byte* data, size_t bytes, const View& v, uint64_t stream) {
  if (v.dtype != DType::kF32 && v.dtype != DType::kF64) return;
  const float low = v.shape.rank() == 1 ? 0.5f : -1.0f;
  kernels::with_float(v.dtype, [&]<class T>() {
    const size_t n = bytes / sizeof(T);
    for (size_t i = 0; i < n; i += 4) {
      const auto draws = kernels::philox(1, stream, i / 4);
      for (size_t k = 0; k < std::min<size_t>(4, n - i); ++k) {
        const T value = low + (1 - low) * kernels::uniform24(draws[k]);
        std::memcpy(data + (i + k) * sizeof(T), &value, sizeof(T));
      }
    }
  });
}

/// One call with operands of its own, each beginning as far past a cache line as in the plan.
class Bench {
 public:
  Bench(const Plan::CallInfo& info, Device device)
      : device_(device),
        exec_(*info.call.exec),
        in_(info.call.in.begin(), info.call.in.end()),
        out_(info.call.out.begin(), info.call.out.end()) {
    std::vector<View*> operands;
    for (View& v : in_) operands.push_back(&v);
    for (View& v : out_) operands.push_back(&v);
    std::vector<size_t> begin;
    size_t size = 0;
    for (size_t i = 0; i < operands.size(); ++i) {
      begin.push_back(size + static_cast<size_t>(operands[i]->phase));
      size = (begin[i] + bytes_of(*operands[i]) + kAlignment - 1) / kAlignment * kAlignment;
    }
    operands_ = Buffer(size);
    for (size_t i = 0; i < operands.size(); ++i)
      fill(operands_.data() + begin[i], bytes_of(*operands[i]), *operands[i], i);
    if (device_ == Device::kCuda) {
      Buffer there(size, Memory::kDevice);
      cuda::upload(there.data(), operands_.data(), size);
      cuda::synchronize();
      operands_ = std::move(there);
      exec_.stream = cuda::stream();
      exec_.tickets = cuda::tickets();
      exec_.dependent = cuda::dependent_launches();
    }
    for (size_t i = 0; i < operands.size(); ++i) operands[i]->data = operands_.data() + begin[i];
    call_ = {&exec_, in_, out_, info.call.attrs};
  }
  Bench(const Bench&) = delete;
  Bench& operator=(const Bench&) = delete;

  /// Seconds of one run, the first being left out where it loads code.
  double once(const Impl& impl) {
    const size_t bytes = impl.workspace ? impl.workspace(call_) : 0;
    if (bytes > workspace_.size())
      workspace_ = Buffer(bytes, device_ == Device::kCuda ? Memory::kDevice : Memory::kHost);
    exec_.workspace = workspace_.data();
    if (device_ == Device::kCuda) {
      impl.run(call_);
      cuda::synchronize();
    }
    return seconds_of([&] { impl.run(call_); });
  }

  /// A function that gives the mean seconds of `repeats` runs, each time it is called.
  std::function<double()> sampler(const Impl& impl, int repeats) {
    const auto work = [this, &impl, repeats] {
      for (int i = 0; i < repeats; ++i) impl.run(call_);
    };
    if (device_ != Device::kCuda) return [this, work, repeats] { return seconds_of(work) / repeats; };
    return [this, graph = std::make_shared<cuda::CapturedGraph>(work), repeats] {
      return seconds_of([&] { graph->launch(); }) / repeats;
    };
  }

 private:
  template <class Work>
  double seconds_of(const Work& work) {
    if (device_ == Device::kCuda) {
      cuda::Event start, stop;
      start.record();
      work();
      stop.record();
      stop.wait();
      return stop.seconds_since(start);
    }
    const auto start = std::chrono::steady_clock::now();
    work();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }

  Device device_;
  kernels::Exec exec_;
  std::vector<View> in_;
  std::vector<kernels::Out> out_;
  kernels::Call call_;
  Buffer operands_, workspace_;
};

void summarise(Candidate& c, std::vector<double>& samples) {
  std::sort(samples.begin(), samples.end());
  const size_t n = samples.size();
  c.seconds = samples[n / 2];
  c.spread = samples[n - 1 - n / 4] - samples[n / 4];
}

/// One implementation while its call is measured.
struct Runner {
  const Impl* impl;
  std::function<double()> sample{};
  std::vector<double> samples{};
};

/// Runs a candidate's work; what it throws is noted.
template <class Work>
void attempt(Candidate& c, const Work& work) {
  if (!c.failure.empty()) return;
  try {
    work();
  } catch (const std::exception& e) {
    c.failure = e.what();
  }
}

/// The fastest of a few runs, and of slow ones fewer.
double first_look(Bench& bench, const Impl& impl) {
  double fastest = bench.once(impl), sum = fastest;
  for (int i = 1; i < kFirstRuns && sum < kFirstSeconds; ++i) {
    const double seconds = bench.once(impl);
    fastest = std::min(fastest, seconds);
    sum += seconds;
  }
  return fastest;
}

/// Fills in the times of all candidates.
void measure(Bench& bench, std::vector<Runner>& runners, TunedCall& call, const TuningOptions& options) {
  for (size_t i = 0; i < runners.size(); ++i)
    attempt(call.candidates[i], [&] { call.candidates[i].seconds = first_look(bench, *runners[i].impl); });
  const double fixed = call.candidates[call.fixed].seconds;
  for (size_t i = 0; i < runners.size(); ++i) {
    const double first = call.candidates[i].seconds;
    if (first * kFirstRuns > kFirstSeconds && first > kHopeless * fixed) continue;
    const double repeats = std::ceil(options.sample_seconds / std::max(first, 1e-9));
    attempt(call.candidates[i], [&] {
      runners[i].sample =
          bench.sampler(*runners[i].impl, static_cast<int>(std::min<double>(kMostRepeats, repeats)));
    });
  }
  for (int round = 0; round < options.samples; ++round)
    for (size_t i = 0; i < runners.size(); ++i)
      if (runners[i].sample)
        attempt(call.candidates[i], [&] { runners[i].samples.push_back(runners[i].sample()); });
  for (size_t i = 0; i < runners.size(); ++i)
    if (!runners[i].samples.empty()) summarise(call.candidates[i], runners[i].samples);
}

/// The implementations that accept, each name once: the first of a name is what a choice of that name means.
std::vector<Runner> runners_of(const Plan::CallInfo& info) {
  std::vector<Runner> runners;
  for (const Impl& impl : info.list) {
    const auto same = [&](const Runner& r) { return std::strcmp(r.impl->name, impl.name) == 0; };
    if (impl.accepts(info.call) && std::none_of(runners.begin(), runners.end(), same)) runners.push_back({&impl});
  }
  return runners;
}

/// A kind of call: one of those with its key.
struct Kind {
  Plan::CallInfo info;
  Device device;
  std::vector<Runner> runners;
  TunedCall call;
};

/// Those with more than one implementation, in the order of their first use.
std::vector<Kind> kinds_of(const std::vector<const Plan*>& plans) {
  std::vector<Kind> kinds;
  std::map<std::string, std::optional<size_t>> seen;  // its place among the kinds, if it has one
  for (const Plan* plan : plans) {
    for (Plan::CallInfo& info : plan->calls()) {
      const auto [it, fresh] = seen.try_emplace(info.key);
      if (fresh) {
        std::vector<Runner> runners = runners_of(info);
        if (runners.size() < 2) continue;
        it->second = kinds.size();
        TunedCall call{.key = info.key};
        for (size_t i = 0; i < runners.size(); ++i) {
          call.candidates.push_back({.impl = runners[i].impl->name});
          if (call.candidates[i].impl == info.chosen->name) call.fixed = i;
        }
        kinds.push_back({std::move(info), plan->device(), std::move(runners), std::move(call)});
      }
      if (it->second) ++kinds[*it->second].call.uses;
    }
  }
  return kinds;
}

}  // namespace

std::vector<TunedCall> tune(const std::vector<const Plan*>& plans, const TuningOptions& options) {
  std::vector<Kind> kinds = kinds_of(plans);
  std::vector<TunedCall> calls;
  for (Kind& kind : kinds) {
    Bench bench(kind.info, kind.device);
    measure(bench, kind.runners, kind.call, options);
    kind.call.best = best_of(kind.call);
    kind.runners.clear();  // captured graphs end before the memory they work on
    calls.push_back(std::move(kind.call));
    if (options.progress) options.progress(calls.back(), calls.size(), kinds.size());
  }
  return calls;
}

size_t best_of(const TunedCall& call) {
  const Candidate& fixed = call.candidates[call.fixed];
  MIXOP_CHECK(fixed.failure.empty(), "tuning: ", fixed.impl, " of '", call.key, "' fails: ", fixed.failure);
  size_t fastest = call.fixed;
  for (size_t i = 0; i < call.candidates.size(); ++i)
    if (call.candidates[i].failure.empty() && call.candidates[i].seconds < call.candidates[fastest].seconds)
      fastest = i;
  const Candidate& best = call.candidates[fastest];
  return fixed.seconds - best.seconds > std::max(fixed.spread, best.spread) ? fastest : call.fixed;
}

Choices best_choices(const std::vector<TunedCall>& calls) {
  Choices choices;
  for (const TunedCall& call : calls) choices[call.key] = call.candidates[call.best].impl;
  return choices;
}

}  // namespace mixop::autograd
