// Runs CUDA kernels on the CPU, one fiber a CUDA thread, and checks them: races and missing barriers in shared
// memory, divergent barriers and shuffles, accesses outside buffers, misaligned vector accesses, launch limits.
// Under emulation the include path finds tests/support/emulated/cuda_runtime.h, which includes this; no CUDA header
// is needed.
//
// A kernel in error throws mixop::Error out of its launch:
//   emulated kernel 'NAME', block (x,y,z), thread (x,y,z): what happened
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <set>
#include <tuple>

#include "tests/support/cuda_emulation_block.h"
#include "tests/support/cuda_emulation_memory.h"
#include "tests/support/cuda_emulation_shared.h"
#include "tests/support/cuda_emulation_warp.h"

namespace mixop::emulation {

/// Device memory that cudaMalloc gives out at most; 8 GiB at first.
inline void set_memory(size_t bytes) { memory().limit = bytes; }

/// From now on an allocation begins at its guard page (finds accesses before it) rather than ends there.
inline void guard_before(bool before) { memory().guard_before = before; }

/// What has been allocated, device and pinned host memory, and not freed.
inline std::vector<Allocation> allocations() {
  const std::lock_guard lock(memory().mutex);
  std::vector<Allocation> list;
  for (const auto& [begin, a] : memory().live) list.push_back(a);
  return list;
}

/// Names of the kernels that have run.
inline std::set<std::string>& launched() {
  static std::set<std::string>& names = *new std::set<std::string>;
  return names;
}

/// The name of the kernel whose launch follows (MIXOP_NOTE_LAUNCH).
inline const char* noted = nullptr;

struct LaunchShape {
  dim3 grid, block;
  size_t dynamic_bytes, most_dynamic;  ///< and how many the kernel may have
  bool dependent;                      ///< may start before the kernel ahead is done
};

/// Dynamic shared memory for which kernels have opted in (cudaFuncSetAttribute).
inline std::map<void (*)(), size_t>& opted_in() {
  static auto& bytes = *new std::map<void (*)(), size_t>;
  return bytes;
}
inline size_t most_dynamic(void (*kernel)()) {
  const auto it = opted_in().find(kernel);
  return it == opted_in().end() ? kSharedLimit : it->second;
}

/// Chooses the order of blocks and threads from now on. Before: MIXOP_EMULATION_SEED or 1.
inline void set_seed(uint64_t seed) { block.random = seed; }

inline bool seed_from_environment() {
  const char* seed = std::getenv("MIXOP_EMULATION_SEED");
  set_seed(seed ? std::strtoull(seed, nullptr, 0) : 1);
  return true;
}
inline const bool seeded = seed_from_environment();

/// Runs all blocks, one after another in shuffled order.
inline void run(const char* name, const LaunchShape& shape, void (*body)(void*), void* arguments) {
  static std::atomic_flag busy;
  MIXOP_CHECK(!busy.test_and_set(), "emulation: two host threads launch at once (kernel '", name, "')");
  struct Finish {
    ~Finish() {
      in_kernel = false;
      busy.clear();
    }
  } finish;
  watch_faults();
  launched().insert(name);
  block.kernel = name;
  block.body = body;
  block.arguments = arguments;
  block.dynamic_bytes = shape.dynamic_bytes;
  block.dependent = shape.dependent;
  block.shared_limit = shape.most_dynamic > kSharedLimit ? kSharedOptIn : kSharedLimit;
  gridDim = shape.grid;
  prepare_threads(shape.block);
  const uint64_t blocks_n = uint64_t{gridDim.x} * gridDim.y * gridDim.z;
  MIXOP_CHECK(blocks_n < (uint64_t{1} << 28), "emulated kernel '", name, "': too many blocks to emulate");
  std::vector<uint32_t> order(blocks_n);
  for (uint32_t i = 0; i < blocks_n; ++i) {
    const uint32_t j = random_below(i + 1);
    order[i] = order[j];
    order[j] = i;
  }
  in_kernel = true;
  for (const uint32_t i : order) {
    blockIdx = {i % gridDim.x, i / gridDim.x % gridDim.y, i / gridDim.x / gridDim.y};
    run_block();
  }
}

}  // namespace mixop::emulation

#define MIXOP_NOTE_LAUNCH(name) (::mixop::emulation::noted = (name))
