// Shared arrays that check every access: who wrote or read an element last, and when. Two threads that touch an
// element, one of them writing, must have a block barrier between them, or, within a warp, a warp operation of
// both.
//
// Since blocks run one after another, the storage is a static of the declaration site (one for each instantiation);
// whatever was written before the block's start counts as unwritten.
#pragma once

#include <type_traits>

#include "tests/support/cuda_emulation_block.h"

#ifdef MIXOP_SHARED
#error "include <cuda_runtime.h> before kernels/core/cuda/shared.cuh"
#endif

namespace mixop::emulation {

/// Of a block, as every kernel has it, and as it may opt in to.
constexpr size_t kSharedLimit = 48 << 10, kSharedOptIn = 99 << 10;

/// A time and a thread in one word: time << 16 | thread. Several readers are kept as their warp (ordered by
/// operations of the whole warp only), or as kMany (by barriers only).
using Stamp = uint64_t;
constexpr unsigned kWarpOf = 0x8000, kMany = 0xFFFF;
inline uint64_t time_of(Stamp s) { return s >> 16; }
inline unsigned who(Stamp s) { return s & 0xFFFF; }
inline Stamp stamp() { return block.clock << 16 | block.me; }

/// Whether that access came before what the running thread does now, by a warp operation of both.
inline bool ordered_in_warp(Stamp s) {
  const Thread& me = *block.running;
  const bool several = who(s) & kWarpOf;
  if (who(s) == kMany || (several ? who(s) & ~kWarpOf : who(s) / kLanes) != me.warp) return false;
  if (time_of(s) < block.warps[me.warp].synced) return true;
  return !several && time_of(s) < me.synced && (me.synced_mask >> who(s) % kLanes & 1);
}
inline bool races(Stamp s) { return time_of(s) >= block.synced && who(s) != block.me && !ordered_in_warp(s); }

inline std::string accessor(Stamp s) {
  if (who(s) == kMany) return "several threads";
  if (who(s) & kWarpOf) return kernels::text("several threads of warp ", who(s) & ~kWarpOf);
  return "thread " + text_of(block.threads[who(s)].index);
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_access(const char* does, const char* name, int64_t index,
                                                               const char* which, Stamp s) {
  fail_thread(kernels::text(does, " ", name, "[", index, "], which ", accessor(s), which,
                            ", without a barrier in between"));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_index(const char* name, int64_t index, int64_t size) {
  fail_thread(kernels::text("index out of range: ", name, "[", index, "] of ", size, " elements"));
}
[[noreturn, gnu::cold, gnu::noinline]] inline void fail_unwritten(const char* name, int64_t index) {
  fail_thread(kernels::text("reads ", name, "[", index, "], which nobody wrote in this block"));
}

/// The reader on record after the running thread has read, too.
inline Stamp joined(Stamp read) {
  if (ordered_in_warp(read)) return stamp();
  const unsigned warp = block.running->warp;
  const bool same = who(read) != kMany && (who(read) & kWarpOf ? who(read) & ~kWarpOf : who(read) / kLanes) == warp;
  return block.clock << 16 | (same ? kWarpOf | warp : kMany);
}

template <class T>
struct Cell {
  Stamp written, read;
  alignas(T) unsigned char bytes[sizeof(T)];
};

/// What name[i] gives: reading and writing it is checked. It serves only where it stands (hence &&): `auto x =
/// name[i]` and a template that deduces T from name[i] would hold the value under nvcc, so here they do not
/// compile.
template <class T>
class Element {
 public:
  Element(Cell<T>& cell, const char* name, int64_t index) : cell_(cell), name_(name), index_(index) {}
  Element(const Element&) = delete;

  operator T() && { return read(); }
  T operator=(T v) && { return write(v); }
  T operator=(Element&& o) && { return write(o.read()); }
  T operator+=(T v) && { return write(static_cast<T>(read() + v)); }
  T operator-=(T v) && { return write(static_cast<T>(read() - v)); }
  T operator*=(T v) && { return write(static_cast<T>(read() * v)); }
  T operator/=(T v) && { return write(static_cast<T>(read() / v)); }
  T operator|=(T v) && { return write(static_cast<T>(read() | v)); }
  T operator&=(T v) && { return write(static_cast<T>(read() & v)); }
  T operator^=(T v) && { return write(static_cast<T>(read() ^ v)); }
  T operator++() && { return write(static_cast<T>(read() + 1)); }

 private:
  T read() {
    const Stamp w = cell_.written, r = cell_.read;
    if (time_of(w) >= block.synced) {
      if (who(w) != block.me && races(w)) fail_access("reads", name_, index_, " wrote", w);
    } else if (time_of(w) < block.start) {
      fail_unwritten(name_, index_);
    }
    if (time_of(r) < block.synced || who(r) == block.me) cell_.read = stamp();
    else if (who(r) != kMany) cell_.read = joined(r);
    T v;
    std::memcpy(&v, cell_.bytes, sizeof(T));
    return v;
  }
  T write(T v) {
    if (races(cell_.written)) fail_access("writes", name_, index_, " wrote", cell_.written);
    if (races(cell_.read)) fail_access("writes", name_, index_, " read", cell_.read);
    cell_.written = stamp();
    std::memcpy(cell_.bytes, &v, sizeof(T));
    return v;
  }

  Cell<T>& cell_;
  const char* name_;
  int64_t index_;
};

/// The handle that kernels see.
template <class T>
class Shared {
 public:
  Shared(Cell<T>* cells, int64_t size, const char* name) : cells_(cells), size_(size), name_(name) {}
  Element<T> operator[](int64_t i) const {
    if (i < 0 || i >= size_) fail_index(name_, i, size_);
    return {cells_[i], name_, i};
  }

 private:
  Cell<T>* cells_;
  int64_t size_;
  const char* name_;
};

[[gnu::noinline]] inline void add_shared(const char* name, size_t bytes) {
  block.shared_bytes += bytes;
  if (block.shared_bytes > block.shared_limit)
    fail_thread(kernels::text("with ", name, " the block has ", block.shared_bytes,
                              " bytes of shared memory, more than ", block.shared_limit));
}

template <class T, int64_t N>
struct SharedStorage {
  static_assert(std::is_trivially_copyable_v<T> && N > 0);
  Cell<T> cells[N];
  uint64_t seen;  // the start of the block that used it last

  Shared<T> in_block(const char* name) {
    if (seen != block.start) {
      seen = block.start;
      add_shared(name, sizeof(T) * N);
    }
    return {cells, N, name};
  }
};

template <class T>
struct DynamicSharedStorage {
  static_assert(std::is_trivially_copyable_v<T>);
  Cell<T> cells[kSharedOptIn / sizeof(T)];

  Shared<T> in_block(const char* name) {
    if (block.dynamic_site != this) {
      if (block.dynamic_site) fail_thread(kernels::text(name, " is a second MIXOP_DYNAMIC_SHARED in one kernel"));
      block.dynamic_site = this;
    }
    return {cells, static_cast<int64_t>(block.dynamic_bytes / sizeof(T)), name};
  }
};

inline void assert_aligned(const void* p, size_t bytes) {
  expect_waited("reads or writes device memory");
  if (reinterpret_cast<uintptr_t>(p) % bytes != 0) [[unlikely]]
    fail_thread(kernels::text("misaligned access of ", bytes, " bytes at ", p));
}

}  // namespace mixop::emulation

#define MIXOP_SHARED(T, name, ...)                                            \
  static ::mixop::emulation::SharedStorage<T, (__VA_ARGS__)> name##_storage_; \
  const ::mixop::emulation::Shared<T> name = name##_storage_.in_block(#name)
#define MIXOP_DYNAMIC_SHARED(T, name)                                 \
  static ::mixop::emulation::DynamicSharedStorage<T> name##_storage_; \
  const ::mixop::emulation::Shared<T> name = name##_storage_.in_block(#name)
#define MIXOP_ASSERT_ALIGNED(pointer, bytes) ::mixop::emulation::assert_aligned(pointer, bytes)
