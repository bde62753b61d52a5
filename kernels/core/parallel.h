// One parallel loop for all CPU kernels. A task's result may not depend on the thread that runs it, so results are
// the same for any number of threads; reductions keep one partial per task and merge them in task order.
#pragma once

#include <cstdint>
#include <type_traits>

#include "kernels/core/exec.h"

namespace mixop::kernels {

namespace detail {
using Task = void (*)(void* context, int64_t task, int thread);
void run_tasks(int threads, int64_t n, Task task, void* context) noexcept;
}  // namespace detail

/// Calls f(task, thread) for task in [0, n), thread in [0, exec.threads); tasks go to whoever is free. f may not
/// throw. From inside a task, or while another thread's loop runs, the loop runs on the calling thread alone.
template <class F>
void parallel_for(const Exec& exec, int64_t n, F&& f) {
  if (n <= 1 || exec.threads <= 1) {
    for (int64_t i = 0; i < n; ++i) f(i, 0);
    return;
  }
  using Body = std::remove_reference_t<F>;
  const auto call = [](void* context, int64_t task, int thread) { (*static_cast<Body*>(context))(task, thread); };
  detail::run_tasks(exec.threads, n, call, const_cast<void*>(static_cast<const void*>(&f)));
}

/// Splits n items into at most `parts` even ranges; range p is [begin, end).
struct Range {
  int64_t begin, end;
};
inline Range part_of(int64_t n, int64_t parts, int64_t p) { return {n * p / parts, n * (p + 1) / parts}; }

}  // namespace mixop::kernels
