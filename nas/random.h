// A stream of random numbers for searches: counter-based, so that its whole state is three integers.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/core/rng.h"

namespace mixop::nas {

class Random {
 public:
  explicit Random(uint64_t seed, uint64_t stream = 0) : seed_(seed), stream_(stream) {}

  uint32_t word() {
    if (position_ % 4 == 0) block_ = kernels::philox(seed_, stream_, position_ / 4);
    return block_[position_++ % 4];
  }
  /// Uniform in [0, n), n >= 1; the bias is below n / 2^64.
  int64_t below(int64_t n) {
    const uint64_t high = word(), low = word();
    __extension__ using Wide = unsigned __int128;
    return static_cast<int64_t>((static_cast<Wide>(high << 32 | low) * static_cast<uint64_t>(n)) >> 64);
  }
  /// Uniform in [0, 1) with 53 bits.
  double uniform() {
    const uint64_t high = word(), low = word();
    return static_cast<double>((high << 32 | low) >> 11) * 0x1p-53;
  }
  double uniform(double low, double high) { return low + (high - low) * uniform(); }
  /// Standard normal (Box and Muller; one of the pair).
  double normal();
  bool chance(double probability) { return uniform() < probability; }
  /// An index in proportion to the weights (>= 0, at least one > 0).
  size_t pick(std::span<const double> weights);
  template <class T>
  const T& one_of(const std::vector<T>& items) {
    return items[static_cast<size_t>(below(static_cast<int64_t>(items.size())))];
  }
  /// Fisher and Yates.
  template <class T>
  void shuffle(std::vector<T>& items) {
    for (size_t i = items.size(); i > 1; --i)
      std::swap(items[i - 1], items[static_cast<size_t>(below(static_cast<int64_t>(i)))]);
  }

  /// Words drawn so far: with seed and stream the whole state.
  uint64_t position() const { return position_; }
  void seek(uint64_t position) {
    position_ = position;
    if (position_ % 4 != 0) block_ = kernels::philox(seed_, stream_, position_ / 4);
  }

 private:
  uint64_t seed_, stream_, position_ = 0;
  std::array<uint32_t, 4> block_{};
};

}  // namespace mixop::nas
