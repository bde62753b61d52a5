// Measuring which implementation of each call is the fastest on this machine.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "autograd/choices.h"
#include "autograd/plan.h"

namespace mixop::autograd {

/// An implementation that accepts a call, and how long the call takes with it.
struct Candidate {
  std::string impl;
  double seconds = 0;     ///< median of the samples
  double spread = 0;      ///< between their quartiles; 0 when it was so slow that it was run only once or twice
  std::string failure{};  ///< what it threw; it is then out of the question
};

/// A kind of call with its candidates in the order of the op's list.
struct TunedCall {
  std::string key;
  int uses = 0;  ///< calls of this kind in all plans
  std::vector<Candidate> candidates{};
  size_t fixed = 0;  ///< what the plans use
  size_t best = 0;   ///< differs from `fixed` only when it is faster by more than the spread of either
};

/// Which candidate TunedCall::best names, from the figures of all. Throws mixop::Error when the fixed choice
/// failed.
size_t best_of(const TunedCall& call);

struct TuningOptions {
  int samples = 9;               ///< of each candidate, all taking turns
  double sample_seconds = 2e-3;  ///< a sample repeats quick calls until about this time has passed
  /// Told of each call that has been measured, how many that makes and how many there are.
  std::function<void(const TunedCall&, size_t done, size_t all)> progress{};
};

/// Measures every kind of call in the plans (all of one device) that more than one implementation accepts, in the
/// order of their first use. Calls work on operands of their own, with random values, so that nothing of the plans
/// or their stores changes; on a CUDA device they are timed by events around captured graphs, as plans run them,
/// elsewhere by wall clock. Operands are warm in the cache more often than in a plan. Throws mixop::Error when what
/// a plan uses fails, and when there is too little memory.
std::vector<TunedCall> tune(const std::vector<const Plan*>& plans, const TuningOptions& options = {});

/// The best of each call, for CompileOptions::tuned and format_choices().
Choices best_choices(const std::vector<TunedCall>& calls);

}  // namespace mixop::autograd
