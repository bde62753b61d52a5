// The work of one run, and what pinned plans check meanwhile.
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstring>

#include "autograd/ops/separable.h"
#include "autograd/plan_body.h"

namespace mixop::autograd {

using kernels::View;

namespace {

bool is_nan(uint16_t bf16) { return (bf16 & 0x7FFF) > 0x7F80; }
bool is_nan(double x) { return std::isnan(x); }

template <class T>
bool has_nan(const View& v) {
  for (int64_t r = 0; r < v.rows(); ++r)
    for (int64_t c = 0; c < v.last(); ++c)
      if (is_nan(v.as<T>()[r * v.ld + c])) return true;
  return false;
}

constexpr unsigned char kPoisonByte = 0xFF;  // all ones is a NaN in float32 and float64, -1 in int32
constexpr unsigned char kGuardByte = 0xA5;

}  // namespace

void Plan::Body::choose(std::span<const int32_t> values) {
  MIXOP_CHECK(values.size() == chosen.size(), "plan: values for ", values.size(), " choices, its graph has ",
              chosen.size());
  chosen.assign(values.begin(), values.end());
}

void Plan::Body::poison() {
  const size_t whole = round_up(layout.arena_bytes) + report.workspace;
  if (!apart.empty()) {
    for (const kernels::Buffer& b : apart) kernels::cuda::fill(b.data(), kPoisonByte, b.size());
    return;
  }
  if (device()) return kernels::cuda::fill(arena->data(), kPoisonByte, whole);
  std::memset(arena->data(), kPoisonByte, whole);
  if (pinned())
    for (const Slot& s : layout.slots) std::memset(arena->data() + s.begin + s.bytes, kGuardByte, kGuardBytes);
}

/// After a step in pinned mode: its outputs hold no NaN, unless it may leave some alone, and every guard word is
/// whole.
void Plan::Body::check(const Step& step) {
  const Node& n = graph.node(step.node);
  const auto where = [&] { return kernels::text(n.op->name, " (", step.impl->name, ") at '", n.name, "'"); };
  for (size_t k = 0; k < step.out.size(); ++k) {
    kernels::Buffer mirror;
    const View v = device() ? to_host(step.out[k], mirror) : View(step.out[k]);
    const bool bad = v.dtype == DType::kF64   ? has_nan<double>(v)
                     : v.dtype == DType::kF32 ? has_nan<float>(v)
                                              : v.dtype == DType::kBF16 && has_nan<uint16_t>(v);
    MIXOP_CHECK(!bad || skips_units(n), "NaN first appears in output ", k, " of ", where());
    const Value root = step.out_places[k].root;
    if (!graph.node(root).op || device()) continue;
    const Slot& s = layout.slots[layout.slot_of[root.node][root.output]];
    for (size_t b = 0; b < kGuardBytes; ++b)
      MIXOP_CHECK(static_cast<unsigned char>(arena->data()[s.begin + s.bytes + b]) == kGuardByte, where(),
                  " wrote past the end of its output ", k);
  }
}

bool Plan::Body::due(const Step& step) const {
  const auto holds = [&](const Condition& c) { return chosen[static_cast<size_t>(c.choice)] == c.value; };
  return std::all_of(step.when.begin(), step.when.end(), holds) &&
         std::none_of(step.unless.begin(), step.unless.end(), [&](int s) { return done[static_cast<size_t>(s)]; });
}

/// What differs from run to run with the choices: terms that are left out, and who writes a sum first.
void Plan::Body::prepare(Step& step) {
  for (const Step::Absent& a : step.absent)
    step.in[a.input].data = chosen[static_cast<size_t>(a.when.choice)] == a.when.value ? a.data : nullptr;
  for (size_t k = 0; k < step.sums.size(); ++k) {
    if (step.sums[k] < 0) continue;
    auto first = begun[static_cast<size_t>(step.sums[k])];
    step.out[k].write = first ? kernels::Write::kAdd : kernels::Write::kSet;
    first = true;
  }
}

void Plan::Body::run_steps() {
  using Clock = std::chrono::steady_clock;
  std::fill(begun.begin(), begun.end(), false);
  if (options.poison || pinned()) poison();
  for (size_t s = 0; s < steps.size(); ++s) {
    Step& step = steps[s];
    if (!(done[s] = due(step))) continue;
    prepare(step);
    if (device() && timed) kernels::cuda::synchronize();
    const auto start = timed ? Clock::now() : Clock::time_point();
    if (device()) {
      const kernels::cuda::ProfilerRange range(step.label.c_str());
      step.impl->run(step.call);
    } else {
      step.impl->run(step.call);
    }
    if (device() && timed) kernels::cuda::synchronize();
    if (timed) seconds[s] += std::chrono::duration<double>(Clock::now() - start).count();
    if (pinned()) check(step);
  }
}

}  // namespace mixop::autograd
