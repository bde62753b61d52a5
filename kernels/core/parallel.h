// One parallel loop for all CPU kernels. A task's result may not depend on the thread that runs it, so results are
// the same for any number of threads; reductions keep one partial per task and merge them in task order.
#pragma once

#ifdef _OPENMP
#include <omp.h>
#endif

#include <cstdint>

#include "kernels/core/exec.h"

namespace mixop::kernels {

/// Calls f(task, thread) for task in [0, n), thread in [0, exec.threads).
template <class F>
void parallel_for(const Exec& exec, int64_t n, F&& f) {
  if (n <= 1 || exec.threads <= 1) {
    for (int64_t i = 0; i < n; ++i) f(i, 0);
    return;
  }
#ifdef _OPENMP
#pragma omp parallel num_threads(exec.threads)
  {
    const int thread = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
    for (int64_t i = 0; i < n; ++i) f(i, thread);
  }
#else
  for (int64_t i = 0; i < n; ++i) f(i, 0);
#endif
}

/// Splits n items into at most `parts` even ranges; range p is [begin, end).
struct Range {
  int64_t begin, end;
};
inline Range part_of(int64_t n, int64_t parts, int64_t p) { return {n * p / parts, n * (p + 1) / parts}; }

}  // namespace mixop::kernels
