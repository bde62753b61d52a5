// One block of CUDA threads on one host thread. Each CUDA thread is a fiber that gives way only where it must wait:
// at a barrier or in a warp operation. The order in which threads go on is shuffled by a seed. A thread that
// returns without waiting leaves its stack to the next one, so that kernels without barriers need no switch at all.
#pragma once

#include <sys/mman.h>

#include <boost/context/detail/fcontext.hpp>
#include <cstring>
#include <stdexcept>
#include <string>
#include <vector>

#include "kernels/core/check.h"
#include "tests/support/cuda_emulation_language.h"

#if defined(__SANITIZE_ADDRESS__)
#define MIXOP_EMULATION_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MIXOP_EMULATION_ASAN 1
#endif
#endif
#ifdef MIXOP_EMULATION_ASAN
#include <sanitizer/asan_interface.h>
#include <sanitizer/common_interface_defs.h>
#endif

namespace mixop::emulation {

using boost::context::detail::fcontext_t;
using boost::context::detail::transfer_t;

constexpr unsigned kMaxThreads = 1024, kLanes = 32;
#ifdef MIXOP_EMULATION_ASAN
constexpr size_t kStackBytes = 256 << 10;
#else
constexpr size_t kStackBytes = 64 << 10;
#endif
constexpr size_t kStackGuard = 16 << 10;  // inaccessible, below a stack

inline bool same(const char* a, const char* b) { return a == b || std::strcmp(a, b) == 0; }

/// A place in the kernel's source, taken by default arguments.
struct Site {
  const char* file = nullptr;
  int line = 0;
  static constexpr Site here(const char* file = __builtin_FILE(), int line = __builtin_LINE()) {
    return {file, line};
  }
  bool operator==(const Site& o) const { return line == o.line && same(file, o.file); }
};

enum class State : uint8_t { kRunnable, kAtBarrier, kInWarp, kReturned };

/// A stack and where it stands; also used for the host's own stack.
struct Fiber {
  fcontext_t context = nullptr;
  const void* bottom = nullptr;  // the lowest address
  size_t size = 0;
  void* fake_stack = nullptr;  // of the address sanitizer
};

/// A CUDA thread; what a warp operation exchanges lies in it until all lanes have come.
struct Thread {
  Fiber* fiber;  // null until it starts
  uint3 index;
  unsigned id, lane, warp;
  State state;
  Site site;              // where it waits
  const char* operation;  // the warp operation in which it waits
  unsigned mask, source;
  uint64_t value, result;
  uint64_t synced;  // when it last took part in a warp operation, and with whom
  unsigned synced_mask;
  bool waited;  // for the kernel ahead
};

struct Warp {
  unsigned present;  // lanes that the block has
  unsigned waiting;  // lanes inside a warp operation
  uint64_t synced;   // when all its lanes last met
};

/// The block that runs now. Times are counted by `clock`, which each completed barrier and warp operation advances.
struct Block {
  const char* kernel;
  void (*body)(void*);
  void* arguments;
  unsigned threads_n, returned, at_barrier, ready_n;
  Site barrier;
  uint64_t clock, start, synced;  // synced: the last barrier
  size_t dynamic_bytes, shared_bytes, shared_limit;
  const void* dynamic_site;
  uint64_t random;
  bool dependent;  // may start before the kernel ahead is done
  Thread* running;
  uint64_t me;  // running->id
  Fiber host;
  Thread threads[kMaxThreads];
  Warp warps[kMaxThreads / kLanes];
  uint16_t ready[kMaxThreads];
};
inline constinit Block block{};

inline uint32_t random_below(uint32_t n) {  // splitmix64
  uint64_t z = (block.random += 0x9E3779B97F4A7C15u);
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9u;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EBu;
  return static_cast<uint32_t>(((z >> 32) * n) >> 32);
}

inline std::string text_of(uint3 v) { return kernels::text("(", v.x, ",", v.y, ",", v.z, ")"); }
inline std::string text_of(Site s) { return kernels::text(s.file, ":", s.line); }
inline std::string place() {
  return kernels::text("emulated kernel '", block.kernel, "', block ", text_of(blockIdx), ", thread ",
                       text_of(threadIdx), ": ");
}

// ---- fibers -------------------------------------------------------------------------------------

struct Fibers {
  std::vector<Fiber*> all, idle;
  std::string failure;  // why the launch ends early
};
inline Fibers& fibers() {
  static Fibers& list = *new Fibers;  // never destroyed: kernels may run in destructors of statics
  return list;
}

inline void arrived(transfer_t t, Fiber* self) {
  Fiber* previous = static_cast<Fiber*>(t.data);
  previous->context = t.fctx;
#ifdef MIXOP_EMULATION_ASAN
  __sanitizer_finish_switch_fiber(self ? self->fake_stack : nullptr, &previous->bottom, &previous->size);
#else
  (void)self;
#endif
}

inline void jump(Fiber& from, Fiber& to) {
#ifdef MIXOP_EMULATION_ASAN
  __sanitizer_start_switch_fiber(&from.fake_stack, to.bottom, to.size);
#endif
  arrived(boost::context::detail::jump_fcontext(to.context, &from), &from);
}

/// A mistake of the running thread; fiber_main hands it to the host's stack.
struct ThreadError : std::runtime_error {
  using std::runtime_error::runtime_error;
};
[[noreturn]] inline void fail_thread(const std::string& what) { throw ThreadError(place() + what); }

/// A thread of a dependent launch that has not waited must not do this.
inline void expect_waited(const char* does) {
  if (block.dependent && !block.running->waited)
    fail_thread(kernels::text(does, " without having waited for the kernel ahead, which may still run"));
}

inline void run_next(Fiber& from);

/// What a fiber does: runs its thread, then offers its stack to whichever thread comes next.
inline void fiber_main(transfer_t t) {
  arrived(t, nullptr);
  Fiber& self = *block.running->fiber;
  for (;;) {
    try {
      block.body(block.arguments);
      expect_waited("returns");
    } catch (const ThreadError& e) {
      fibers().failure = e.what();
    } catch (const std::exception& e) {
      fibers().failure = place() + e.what();
    }
    if (!fibers().failure.empty()) jump(self, block.host);  // and never comes back
    block.running->state = State::kReturned;
    ++block.returned;
    fibers().idle.push_back(&self);
    run_next(self);
  }
}

inline void reset(Fiber& f, size_t number) {
#ifdef MIXOP_EMULATION_ASAN
  __asan_unpoison_memory_region(f.bottom, f.size);  // frames that an error abandoned
#endif
  // Stacks begin at different offsets so that they do not all compete for the same cache sets.
  const size_t offset = number % 31 * 128;
  std::byte* top = static_cast<std::byte*>(const_cast<void*>(f.bottom)) + f.size - offset;
  f.context = boost::context::detail::make_fcontext(top, f.size - offset, fiber_main);
}

inline Fiber* take_fiber() {
  Fibers& list = fibers();
  if (list.idle.empty()) {
    void* memory = mmap(nullptr, kStackBytes + kStackGuard, PROT_READ | PROT_WRITE,
                        MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    MIXOP_CHECK(memory != MAP_FAILED, "emulation: no memory for a thread's stack");
    mprotect(memory, kStackGuard, PROT_NONE);
    Fiber* f = new Fiber;
    f->bottom = static_cast<std::byte*>(memory) + kStackGuard;
    f->size = kStackBytes;
    reset(*f, list.all.size());
    list.all.push_back(f);
    return f;
  }
  Fiber* f = list.idle.back();
  list.idle.pop_back();
  return f;
}

/// Lets the next runnable thread go on, the host when there is none. Returns when `from` is resumed.
inline void run_next(Fiber& from) {
  if (block.ready_n == 0) return jump(from, block.host);
  Thread& next = block.threads[block.ready[--block.ready_n]];
  block.running = &next;
  block.me = next.id;
  threadIdx = next.index;
  if (!next.fiber) next.fiber = take_fiber();
  if (next.fiber != &from) jump(from, *next.fiber);
}

inline void make_all_ready() {
  block.ready_n = block.threads_n;
  for (unsigned i = 0; i < block.threads_n; ++i) {  // a shuffle that fills as it goes
    const unsigned j = random_below(i + 1);
    block.ready[i] = block.ready[j];
    block.ready[j] = static_cast<uint16_t>(i);
    block.threads[i].state = State::kRunnable;
  }
}

// ---- barriers and warp operations ---------------------------------------------------------------

inline void barrier(Site site) {
  Thread& me = *block.running;
  me.state = State::kAtBarrier;
  me.site = site;
  if (block.at_barrier == 0) block.barrier = site;
  if (!(block.barrier == site))
    fail_thread("divergent barrier: waits at " + text_of(site) + " while others wait at " + text_of(block.barrier));
  if (++block.at_barrier == block.threads_n) {
    block.at_barrier = 0;
    block.synced = ++block.clock;
    make_all_ready();
  }
  run_next(*me.fiber);
}

/// Deposits `value` and waits until all lanes of the mask are here; returns the value of lane `source`, or, for a
/// null `source`, the mask of lanes whose value is not 0.
inline uint64_t warp_operation(const char* operation, unsigned mask, uint64_t value, const unsigned* source,
                               Site site) {
  Thread& me = *block.running;
  Warp& warp = block.warps[me.warp];
  Thread* lanes = block.threads + me.warp * kLanes;
  if (!(mask >> me.lane & 1))
    fail_thread(kernels::text(operation, " at ", text_of(site), ": its own lane is not in the mask"));
  me.operation = operation;
  me.site = site;
  me.mask = mask;
  me.value = value;
  me.source = source ? *source : kLanes;
  if (source && !(mask & warp.present & (1u << *source)))
    fail_thread(
        kernels::text(operation, " at ", text_of(site), " reads lane ", *source,
                      mask >> *source & 1 ? ", which the block does not have" : ", which is not in the mask"));
  warp.waiting |= 1u << me.lane;
  const unsigned named = mask & warp.present;
  bool complete = (warp.waiting & named) == named;
  for (unsigned rest = named; complete && rest; rest &= rest - 1) {
    const Thread& lane = lanes[std::countr_zero(rest)];
    complete = lane.mask == mask;  // else it waits for other lanes first
    if (complete && !(same(lane.operation, operation) && lane.site == site))
      fail_thread(kernels::text("divergent ", operation, " at ", text_of(site), ": lane ", lane.lane, " is in ",
                                lane.operation, " at ", text_of(lane.site)));
  }
  if (!complete) {
    me.state = State::kInWarp;
    run_next(*me.fiber);
    return me.result;
  }
  warp.waiting &= ~named;
  const uint64_t now = ++block.clock;
  if (named == warp.present) warp.synced = now;
  uint64_t votes = 0;
  if (!source)
    for (unsigned rest = named; rest; rest &= rest - 1)
      votes |= uint64_t{lanes[std::countr_zero(rest)].value != 0} << std::countr_zero(rest);
  const unsigned random = random_below(1024), first = random % 32, stride = random / 32 | 1;
  for (unsigned i = 0; i < kLanes; ++i) {
    Thread& lane = lanes[(first + i * stride) % kLanes];
    if (!(named >> ((first + i * stride) % kLanes) & 1)) continue;
    lane.result = source ? lanes[lane.source].value : votes;
    lane.synced = now;
    lane.synced_mask = named;
    if (&lane == &me) continue;
    lane.state = State::kRunnable;
    block.ready[block.ready_n++] = static_cast<uint16_t>(lane.id);
  }
  return me.result;
}

// ---- running a block ----------------------------------------------------------------------------

/// Why nothing can go on: the first thread that waits for one that will not come.
inline std::string deadlock() {
  const auto says = [](const Thread& t) {
    switch (t.state) {
      case State::kReturned:
        return std::string(" has returned");
      case State::kAtBarrier:
        return " waits at the barrier at " + text_of(t.site);
      case State::kInWarp:
        return kernels::text(" is in ", t.operation, " at ", text_of(t.site), " with mask 0x", std::hex, t.mask);
      default:
        return std::string(" runs");
    }
  };
  for (unsigned i = 0; i < block.threads_n; ++i) {
    const Thread& t = block.threads[i];
    if (t.state != State::kInWarp) continue;
    threadIdx = t.index;
    for (unsigned rest = t.mask & block.warps[t.warp].present; rest; rest &= rest - 1) {
      const Thread& other = block.threads[t.warp * kLanes + std::countr_zero(rest)];
      if (other.state == State::kInWarp && other.mask == t.mask) continue;
      return kernels::text(place(), "divergent ", t.operation, " at ", text_of(t.site), " with mask 0x", std::hex,
                           t.mask, std::dec, ": lane ", other.lane, says(other));
    }
  }
  for (unsigned i = 0; i < block.threads_n; ++i) {
    const Thread& t = block.threads[i];
    if (t.state != State::kAtBarrier) continue;
    threadIdx = t.index;
    for (unsigned j = 0; j < block.threads_n; ++j)
      if (const Thread& other = block.threads[j]; other.state != State::kAtBarrier)
        return kernels::text(place(), "divergent barrier: waits at ", text_of(t.site), " while thread ",
                             text_of(other.index), says(other));
  }
  return place() + "no thread can go on";
}

/// Ends a launch with an error: stacks in use are given up as they are.
[[noreturn]] inline void abandon(std::string message) {
  Fibers& list = fibers();
  for (size_t i = 0; i < list.all.size(); ++i) reset(*list.all[i], i);
  list.idle = list.all;
  throw Error(message);
}

inline void run_block() {
  block.returned = block.at_barrier = 0;
  block.shared_bytes = block.dynamic_bytes;
  block.dynamic_site = nullptr;
  block.start = block.synced = ++block.clock;
  for (unsigned i = 0; i < block.threads_n; ++i) {
    block.threads[i].fiber = nullptr;
    block.threads[i].waited = false;
  }
  for (unsigned i = 0; i * kLanes < block.threads_n; ++i) block.warps[i].waiting = 0;
  make_all_ready();
  fibers().failure.clear();
  run_next(block.host);
  if (!fibers().failure.empty()) abandon(fibers().failure);
  if (block.returned != block.threads_n) abandon(deadlock());
}

inline void prepare_threads(dim3 size) {
  blockDim = size;
  block.threads_n = size.x * size.y * size.z;
  for (unsigned i = 0; i < block.threads_n; ++i) {
    Thread& t = block.threads[i];
    t.index = {i % size.x, i / size.x % size.y, i / (size.x * size.y)};
    t.id = i;
    t.lane = i % kLanes;
    t.warp = i / kLanes;
    t.synced = 0;
  }
  for (unsigned w = 0; w * kLanes < block.threads_n; ++w) {
    const unsigned lanes = std::min(kLanes, block.threads_n - w * kLanes);
    block.warps[w] = {lanes == kLanes ? ~0u : (1u << lanes) - 1, 0, 0};
  }
}

}  // namespace mixop::emulation
