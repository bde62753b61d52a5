// A small pool in place of OpenMP's: a search step has some 17,000 parallel loops of 10 to 500 microseconds, and
// OpenMP ends each with a barrier that all threads must reach. When anything else wants a core, that costs a time
// slice of the scheduler (4 to 8 ms) a loop. Here nobody waits for a thread that holds no task, and who waits gives
// way to others.
#include "kernels/core/parallel.h"

#include <hwy/cache_control.h>
#include <sched.h>

#include <atomic>
#include <cstdlib>
#include <mutex>
#include <thread>
#include <vector>

namespace mixop::kernels {

int default_threads() {
  if (const char* env = std::getenv("OMP_NUM_THREADS"))
    if (const int n = std::atoi(env); n > 0) return n;
  cpu_set_t set;
  if (sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return 1;
}

namespace {

/// Waiting: first hot, then giving the core to whoever wants it.
class Backoff {
 public:
  /// False when it is time to sleep.
  bool pause() {
    constexpr int kHot = 500, kPolite = 300;  // about 20 and 100 microseconds on an idle machine
    if (++count_ > kHot + kPolite) return false;
    if (count_ > kHot) sched_yield();
    else __builtin_ia32_pause();
    return true;
  }
  void wait() {
    if (!pause()) sched_yield();
  }

 private:
  int count_ = 0;
};

class Pool {
 public:
  ~Pool() {
    stop_ = true;
    phase_ += 2;
    phase_.notify_all();
    for (std::thread& t : workers_) t.join();
  }

  void run(int threads, int64_t n, detail::Task task, void* context) {
    const std::unique_lock<std::mutex> alone(mutex_, std::try_to_lock);
    if (!alone || inside_) {
      for (int64_t i = 0; i < n; ++i) task(context, i, 0);
      return;
    }
    while (static_cast<int>(workers_.size()) < threads - 1)
      workers_.emplace_back([this, k = static_cast<int>(workers_.size()) + 1] { work(k); });
    task_ = task;
    context_ = context;
    n_ = n;
    threads_ = threads;
    next_ = 0;
    ++phase_;  // odd: open
    phase_.notify_all();
    inside_ = true;
    take(0);
    inside_ = false;
    ++phase_;  // even: closed; who has entered is counted in active_, who has not will see that it is too late
    for (Backoff b; active_.load() != 0;) b.wait();
  }

 private:
  void take(int thread) {
    for (int64_t i; (i = next_.fetch_add(1, std::memory_order_relaxed)) < n_;) task_(context_, i, thread);
    hwy::FlushStream();  // what tasks wrote past the caches (stream.h) comes before the end of the job
  }

  void work(int thread) {
    inside_ = true;
    int seen = 0;
    while (!stop_) {
      int now = phase_.load();
      for (Backoff b; (now == seen || now % 2 == 0) && !stop_; now = phase_.load())
        if (!b.pause()) phase_.wait(now);
      seen = now;
      ++active_;
      // The job's fields stand still from here, for run() waits for active_ after it closes the phase.
      if (phase_.load() == now && !stop_ && thread < threads_) take(thread);
      --active_;
    }
  }

  std::vector<std::thread> workers_;
  std::mutex mutex_;
  std::atomic<int> phase_{0}, active_{0};
  std::atomic<bool> stop_{false};
  detail::Task task_ = nullptr;
  void* context_ = nullptr;
  int64_t n_ = 0;
  int threads_ = 0;
  alignas(64) std::atomic<int64_t> next_{0};
  static thread_local bool inside_;  ///< this thread is running a task
};

thread_local bool Pool::inside_ = false;

}  // namespace

void detail::run_tasks(int threads, int64_t n, Task task, void* context) noexcept {
  static Pool pool;
  pool.run(threads, n, task, context);
}

}  // namespace mixop::kernels
