// __syncthreads and the warp operations, as global functions. A shuffle's lane arithmetic follows the CUDA C++
// programming guide.
#pragma once

#include <bit>

#include "tests/support/cuda_emulation_block.h"

namespace mixop::emulation {

enum class Shuffle { kIndex, kUp, kDown, kXor };

template <class T>
inline T shuffle(Shuffle kind, const char* name, unsigned mask, T value, unsigned by, int width, Site site) {
  if (width < 1 || width > 32 || !std::has_single_bit(static_cast<unsigned>(width)))
    fail_thread(kernels::text(name, " at ", text_of(site), ": width ", width, " is not 1, 2, 4, 8, 16 or 32"));
  const unsigned lane = block.running->lane, inside = static_cast<unsigned>(width) - 1;
  const unsigned first = lane & ~inside, last = lane | inside;
  unsigned source = lane;  // a lane that would read from outside its group keeps its own value
  switch (kind) {
    case Shuffle::kIndex:
      source = first | (by & inside);
      break;
    case Shuffle::kUp:
      source = by <= lane - first ? lane - by : lane;
      break;
    case Shuffle::kDown:
      source = by <= last - lane ? lane + by : lane;
      break;
    case Shuffle::kXor:
      source = (lane ^ by) <= last ? lane ^ by : lane;
      break;
  }
  uint64_t bits = 0;
  std::memcpy(&bits, &value, sizeof(T));
  bits = warp_operation(name, mask, bits, &source, site);
  std::memcpy(&value, &bits, sizeof(T));
  return value;
}

}  // namespace mixop::emulation

inline void __syncthreads(mixop::emulation::Site site = mixop::emulation::Site::here()) {
  mixop::emulation::barrier(site);
}
inline void cudaGridDependencySynchronize() { mixop::emulation::block.running->waited = true; }
inline void cudaTriggerProgrammaticLaunchCompletion() {}
inline void __syncwarp(unsigned mask = 0xFFFFFFFFu, mixop::emulation::Site site = mixop::emulation::Site::here()) {
  mixop::emulation::warp_operation("__syncwarp", mask, 0, nullptr, site);
}
inline unsigned __ballot_sync(unsigned mask, int predicate,
                              mixop::emulation::Site site = mixop::emulation::Site::here()) {
  return static_cast<unsigned>(
      mixop::emulation::warp_operation("__ballot_sync", mask, predicate != 0, nullptr, site));
}
inline int __any_sync(unsigned mask, int predicate, mixop::emulation::Site site = mixop::emulation::Site::here()) {
  return mixop::emulation::warp_operation("__any_sync", mask, predicate != 0, nullptr, site) != 0;
}
inline int __all_sync(unsigned mask, int predicate, mixop::emulation::Site site = mixop::emulation::Site::here()) {
  return mixop::emulation::warp_operation("__all_sync", mask, predicate == 0, nullptr, site) == 0;
}

// Overloads rather than a template, so that an element of a checked array converts on the way in.
#define MIXOP_EMULATED_SHUFFLE(T)                                                                                  \
  inline T __shfl_sync(unsigned mask, T v, int lane, int width = 32,                                               \
                       mixop::emulation::Site site = mixop::emulation::Site::here()) {                             \
    using enum mixop::emulation::Shuffle;                                                                          \
    return mixop::emulation::shuffle<T>(kIndex, "__shfl_sync", mask, v, static_cast<unsigned>(lane), width, site); \
  }                                                                                                                \
  inline T __shfl_up_sync(unsigned mask, T v, unsigned delta, int width = 32,                                      \
                          mixop::emulation::Site site = mixop::emulation::Site::here()) {                          \
    using enum mixop::emulation::Shuffle;                                                                          \
    return mixop::emulation::shuffle<T>(kUp, "__shfl_up_sync", mask, v, delta, width, site);                       \
  }                                                                                                                \
  inline T __shfl_down_sync(unsigned mask, T v, unsigned delta, int width = 32,                                    \
                            mixop::emulation::Site site = mixop::emulation::Site::here()) {                        \
    using enum mixop::emulation::Shuffle;                                                                          \
    return mixop::emulation::shuffle<T>(kDown, "__shfl_down_sync", mask, v, delta, width, site);                   \
  }                                                                                                                \
  inline T __shfl_xor_sync(unsigned mask, T v, int lane_mask, int width = 32,                                      \
                           mixop::emulation::Site site = mixop::emulation::Site::here()) {                         \
    using enum mixop::emulation::Shuffle;                                                                          \
    return mixop::emulation::shuffle<T>(kXor, "__shfl_xor_sync", mask, v, static_cast<unsigned>(lane_mask), width, \
                                        site);                                                                     \
  }
MIXOP_EMULATED_SHUFFLE(float)
MIXOP_EMULATED_SHUFFLE(double)
MIXOP_EMULATED_SHUFFLE(int)
MIXOP_EMULATED_SHUFFLE(unsigned)
MIXOP_EMULATED_SHUFFLE(long)
MIXOP_EMULATED_SHUFFLE(unsigned long)
MIXOP_EMULATED_SHUFFLE(long long)
MIXOP_EMULATED_SHUFFLE(unsigned long long)
#undef MIXOP_EMULATED_SHUFFLE
