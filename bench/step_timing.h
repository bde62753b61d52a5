// How long the steps of a subject take.
#pragma once

#include <string>
#include <vector>

#include "bench/step_subject.h"

namespace mixop::bench {

double median(std::vector<double> v);
double mean(const std::vector<double>& v);

/// Seconds of each step, and of its halves by number.
struct Timings {
  std::vector<double> step;
  std::vector<std::vector<double>> halves;
};

/// Adds `steps` steps. On a CUDA device each is timed from an idle device until it is idle again, and its halves as
/// what passes on the device.
void measure_steps(const Subject& subject, int steps, Timings& to);

/// On a CUDA device: mean seconds of a step when the next begins before it is done, and scores are read some steps
/// later. Throws when a loss is not finite.
double measure_pipelined(const Subject& subject, int steps);

/// Mean seconds of an evaluation of one batch, waiting for its score.
double measure_evaluation(Subject& subject, int runs);

/// Kernel calls of a step: nodes of its plans, or what a CUDA device starts, however it is started. The plans must
/// have run.
size_t kernel_calls(const Subject& subject);

}  // namespace mixop::bench
