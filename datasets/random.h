// Counter-based random numbers: each draw is a pure function of a key and an index, with no generator to store, so
// a draw depends neither on the order of the work nor on the C++ library (std:: distributions differ between them).
#pragma once

#include <cstdint>

namespace mixop::datasets {

// Output function of SplitMix64 (Steele, Lea and Flood, "Fast Splittable Pseudorandom Number Generators", 2014).
inline uint64_t splitmix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

// One key out of two or three; the order of the arguments matters.
inline uint64_t mix(uint64_t a, uint64_t b) { return splitmix64(splitmix64(a) ^ b); }
inline uint64_t mix(uint64_t a, uint64_t b, uint64_t c) { return mix(mix(a, b), c); }

// Uniform integer in [0, n), n >= 1: draw `index` of stream `key` (multiply-shift, bias below n / 2^64).
inline uint64_t uniform(uint64_t key, uint64_t index, uint64_t n) {
  __extension__ using Wide = unsigned __int128;
  return static_cast<uint64_t>((static_cast<Wide>(mix(key, index)) * n) >> 64);
}

// Uniform number in [0, 1), a multiple of 2^-53: draw `index` of stream `key`.
inline double uniform01(uint64_t key, uint64_t index) {
  return static_cast<double>(mix(key, index) >> 11) * 0x1p-53;
}

}  // namespace mixop::datasets
