// Device memory of the emulated device: host memory between inaccessible pages, filled with 0xFF (a NaN as float).
// An access outside it inside a kernel ends the program with a line that names kernel, thread and allocation.
#pragma once

#include <signal.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <map>
#include <mutex>

#include "tests/support/cuda_emulation_block.h"

namespace mixop::emulation {

constexpr size_t kPage = 4096;

struct Allocation {
  std::byte* begin;
  size_t bytes;
  std::byte* pages;  // with the guards
  size_t pages_bytes;
  bool host;  // pinned host memory
};

struct Memory {
  std::mutex mutex;
  std::map<const std::byte*, Allocation> live;  // by begin
  size_t limit = size_t{8} << 30, used = 0;
  bool guard_before = false;
};
inline Memory& memory() {
  static Memory& all = *new Memory;  // never destroyed: buffers may be freed by destructors of statics
  return all;
}

constexpr size_t rounded_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

/// Null when the device is full. The end, rounded up to 16 bytes, touches the guard page (with guard_before: the
/// begin does).
inline void* allocate(size_t bytes, bool host) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  if (!host && bytes > m.limit - std::min(m.limit, m.used)) return nullptr;
  const size_t inside = rounded_up(bytes, kPage), all = inside + 2 * kPage;
  void* p = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  std::byte* pages = static_cast<std::byte*>(p);
  mprotect(pages + kPage, inside, PROT_READ | PROT_WRITE);
  std::memset(pages + kPage, 0xFF, inside);
  std::byte* begin = pages + kPage + (m.guard_before ? 0 : inside - rounded_up(bytes, 16));
#ifdef MIXOP_EMULATION_ASAN
  __asan_poison_memory_region(pages + kPage, inside);  // exact to the byte at the end, to 8 bytes at the begin
  __asan_unpoison_memory_region(begin, bytes);
#endif
  m.live[begin] = {begin, bytes, pages, all, host};
  if (!host) m.used += bytes;
  return begin;
}

/// False when p is not the begin of such an allocation.
inline bool release(void* p, bool host) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto it = m.live.find(static_cast<std::byte*>(p));
  if (it == m.live.end() || it->second.host != host) return false;
#ifdef MIXOP_EMULATION_ASAN
  __asan_unpoison_memory_region(it->second.pages, it->second.pages_bytes);
#endif
  munmap(it->second.pages, it->second.pages_bytes);
  if (!host) m.used -= it->second.bytes;
  m.live.erase(it);
  return true;
}

/// Whether [p, p + bytes) lies inside one allocation of device memory.
inline bool on_device(const void* p, size_t bytes) {
  Memory& m = memory();
  const std::lock_guard lock(m.mutex);
  const auto* at = static_cast<const std::byte*>(p);
  auto it = m.live.upper_bound(at);
  if (it == m.live.begin()) return false;
  const Allocation& a = (--it)->second;
  return !a.host && at <= a.begin + a.bytes && bytes <= static_cast<size_t>(a.begin + a.bytes - at);
}

// ---- faults inside kernels ----------------------------------------------------------------------

inline bool in_kernel = false;
inline struct sigaction previous_action[2];  // SIGSEGV, SIGBUS

/// Prints what is known and lets the default action end the program.
inline void on_fault(int signal_number, siginfo_t* info, void*) {
  if (!in_kernel) {
    sigaction(signal_number, &previous_action[signal_number == SIGBUS], nullptr);
    return;  // faults again, for whoever handles it
  }
  char text[600];
  const auto* at = static_cast<const std::byte*>(info->si_addr);
  int n =
      std::snprintf(text, sizeof text,
                    "emulated kernel '%s', block (%u,%u,%u), thread (%u,%u,%u): access to address %p outside its "
                    "buffers",
                    block.kernel, blockIdx.x, blockIdx.y, blockIdx.z, threadIdx.x, threadIdx.y, threadIdx.z,
                    static_cast<const void*>(at));
  const auto add = [&](const char* format, ptrdiff_t distance, const Allocation& a) {
    n += std::snprintf(text + n, sizeof text - static_cast<size_t>(n), format, distance, a.bytes,
                       static_cast<const void*>(a.begin));
  };
  const std::byte* stack = static_cast<const std::byte*>(block.running->fiber->bottom);
  if (at < stack && at >= stack - kStackGuard) n += std::snprintf(text + n, 40, ": the thread's stack is full");
  for (const auto& [begin, a] : memory().live) {
    const std::byte* end = begin + a.bytes;
    if (at < a.pages || at >= a.pages + a.pages_bytes) continue;
    if (at < begin) add(": %zd bytes before the begin of the allocation of %zu bytes at %p", begin - at, a);
    else add(": %zd bytes behind the end of the allocation of %zu bytes at %p", at - end, a);
  }
  text[n++] = '\n';
  if (write(STDERR_FILENO, text, static_cast<size_t>(n)) < 0) _exit(2);
  signal(signal_number, SIG_DFL);
}

/// The handler needs a stack of its own, one for each host thread that launches.
inline void watch_faults() {
  static thread_local bool done = false;
  if (done) return;
  done = true;
  constexpr size_t kBytes = 64 << 10;
  stack_t stack{};
  stack.ss_sp = mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack.ss_size = kBytes;
  sigaltstack(&stack, nullptr);
  static std::once_flag once;
  std::call_once(once, [] {
    struct sigaction action {};
    action.sa_sigaction = on_fault;
    action.sa_flags = SA_SIGINFO | SA_ONSTACK;
    sigaction(SIGSEGV, &action, &previous_action[0]);
    sigaction(SIGBUS, &action, &previous_action[1]);
  });
}

}  // namespace mixop::emulation
