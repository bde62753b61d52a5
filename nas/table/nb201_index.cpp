#include "nas/table/nb201_index.h"

#include <bit>
#include <random>

namespace mixop::nas {
namespace {

// Python seeds the Mersenne Twister with init_by_array (Matsumoto and Nishimura 2002) of the seed's words.
struct PythonSeed {
  using result_type = uint32_t;
  uint32_t seed;

  template <class It>
  void generate(It begin, It end) const {
    const auto n = static_cast<uint32_t>(end - begin);
    const auto mixed = [&](uint32_t i, uint32_t factor) {
      const uint32_t before = begin[i - 1];
      return begin[i] ^ ((before ^ before >> 30) * factor);
    };
    begin[0] = 19650218u;
    for (uint32_t i = 1; i < n; ++i) begin[i] = 1812433253u * (begin[i - 1] ^ begin[i - 1] >> 30) + i;
    uint32_t i = 1;
    const auto advance = [&] {
      if (++i < n) return;
      begin[0] = begin[n - 1];
      i = 1;
    };
    for (uint32_t k = 0; k < n; ++k, advance()) begin[i] = mixed(i, 1664525u) + seed;
    for (uint32_t k = 1; k < n; ++k, advance()) begin[i] = mixed(i, 1566083941u) - i;
    begin[0] = 0x80000000u;
  }
};

std::vector<Arch> make_order() {
  std::vector<Arch> all;
  for (int32_t code = 0; code < 15625; ++code) {
    Arch arch(6);
    for (int32_t rest = code, e = 5; e >= 0; --e, rest /= 5) arch[static_cast<size_t>(e)] = rest % 5;
    all.push_back(std::move(arch));
  }
  std::mt19937 twister;
  PythonSeed seed{.seed = 88};
  twister.seed(seed);
  const auto below = [&](uint32_t n) {  // random.Random._randbelow
    const int bits = std::bit_width(n);
    uint32_t r = 0;
    do r = static_cast<uint32_t>(twister()) >> (32 - bits);
    while (r >= n);
    return r;
  };
  for (size_t i = all.size() - 1; i > 0; --i) std::swap(all[i], all[below(static_cast<uint32_t>(i) + 1)]);
  return all;
}

}  // namespace

const std::vector<Arch>& nb201_archs() {
  static const std::vector<Arch> order = make_order();
  return order;
}

}  // namespace mixop::nas
