// What a run costs: calls, images, arithmetic and seconds of each phase. Counts are exact over a resume; seconds go
// on from the last checkpoint.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

#include "autograd/plan.h"

namespace mixop::nas {

/// build: compiling plans; data: waiting for batches and opening the data.
enum class Phase : uint8_t { kBuild, kData, kArchStep, kWeightStep, kEvaluation, kCheckpoint };
inline constexpr int kPhases = 6;
/// "build", "data", "arch_step", "weight_step", "evaluation", "checkpoint".
std::string_view phase_name(Phase phase);

struct Cost {
  int64_t calls = 0, images = 0;
  double flops = 0, macs = 0;  ///< macs: multiply-adds of convolutions and linear layers only
  double seconds = 0;
  void operator+=(const Cost& o);
};

/// Arithmetic of one run of a plan over `images` images; seconds are 0.
Cost cost_of(const autograd::Plan& plan, int64_t images);

class Ledger {
 public:
  void add(Phase phase, const Cost& cost) { costs_[static_cast<size_t>(phase)] += cost; }
  const Cost& at(Phase phase) const { return costs_[static_cast<size_t>(phase)]; }
  /// Takes counts, not seconds, back to those of `earlier`: work that was broken off and will be done again.
  void rewind_counts(const Ledger& earlier);

  /// Seconds from start to end, summed over the processes of one run.
  double wall_seconds = 0;

  /// {"wall_seconds":..,"phases":{"build":{"calls":..,"images":..,"flops":..,"macs":..,"seconds":..},...}}
  std::string to_json() const;
  /// Reads that form; `place` names the text in the mixop::Error thrown for anything else.
  static Ledger from_json(std::string_view text, const std::string& place);
  /// A table for a reader, one line a phase that occurred; "other" is the wall time outside all phases.
  std::string table() const;

 private:
  std::array<Cost, kPhases> costs_{};
};

class Stopwatch {
 public:
  /// Seconds since construction or the last lap().
  double lap() {
    const auto now = Clock::now();
    const double s = std::chrono::duration<double>(now - start_).count();
    start_ = now;
    return s;
  }
  double elapsed() const { return std::chrono::duration<double>(Clock::now() - start_).count(); }

 private:
  using Clock = std::chrono::steady_clock;
  Clock::time_point start_ = Clock::now();
};

}  // namespace mixop::nas
