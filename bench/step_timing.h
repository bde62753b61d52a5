// How long the steps of a search take.
#pragma once

#include <vector>

#include "nas/search/darts.h"

namespace mixop::bench {

double median(std::vector<double> v);
double mean(const std::vector<double>& v);

/// Seconds of each step and of its halves.
struct Timings {
  std::vector<double> arch, weight, step;
  int digits = 3;  ///< of printed seconds
  void print(const char* name) const;
};

/// Adds `steps` steps with one batch. On a CUDA device each is timed from an idle device until it is idle again,
/// and its halves as what passes on the device.
void measure_steps(nas::DartsSearch& search, const nas::Batch& batch, int steps, Timings& to);

/// On a CUDA device: mean seconds of a step when the next begins before it is done, and scores are read some steps
/// later. Throws when a loss is not finite.
double measure_pipelined(nas::DartsSearch& search, const nas::Batch& batch, int steps);

/// Mean seconds of an evaluation of one batch, waiting for its score.
double measure_evaluation(nas::DartsSearch& search, const nas::Batch& batch, int runs);

/// On a CUDA device: kernels of a plan that has run, however they are started.
size_t launches(const autograd::Plan& plan);

/// Runs steps and prints seconds, FLOPs and planned traffic per op kind of both halves. On a CUDA device every op
/// is then waited for, so that its seconds include its launch.
void print_ops(nas::DartsSearch& search, const nas::Batch& batch, int steps);

}  // namespace mixop::bench
