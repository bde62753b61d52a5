#include "nas/space/space.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

bool is_legal(const Decision& d, int32_t value) {
  return std::binary_search(d.legal.begin(), d.legal.end(), value);
}

int32_t draw(const Decision& d, Random& random) { return random.one_of(d.legal); }

int32_t draw_other(const Decision& d, int32_t than, Random& random) {
  const auto at = std::lower_bound(d.legal.begin(), d.legal.end(), than);
  if (at == d.legal.end() || *at != than) return draw(d, random);
  if (d.legal.size() == 1) return than;
  const auto skip = at - d.legal.begin();
  const auto i = random.below(static_cast<int64_t>(d.legal.size()) - 1);
  return d.legal[static_cast<size_t>(i + (i >= skip))];
}

}  // namespace

ArchKey hash_numbers(std::span<const int32_t> numbers) {
  // Two Philox-keyed chains of one multiply-rotate each; only equality matters.
  uint64_t a = 0x9e3779b97f4a7c15u ^ numbers.size(), b = 0xc2b2ae3d27d4eb4fu;
  for (const int32_t n : numbers) {
    const auto v = static_cast<uint64_t>(static_cast<uint32_t>(n)) + 1;
    a = (a ^ v * 0xff51afd7ed558ccdu) * 0xc4ceb9fe1a85ec53u;
    a ^= a >> 29;
    b = (b ^ v * 0x94d049bb133111ebu) * 0xbf58476d1ce4e5b9u;
    b ^= b >> 31;
  }
  return {a, b};
}

int32_t nearest_legal(const Decision& d, int32_t value) {
  const auto after = std::upper_bound(d.legal.begin(), d.legal.end(), value);
  return after == d.legal.begin() ? d.legal.front() : *(after - 1);
}

Arch Space::walk(const Choose& choose) const {
  Arch arch;
  for (Decision d; next(arch, d);) arch.push_back(choose(d, arch.size()));
  return arch;
}

std::optional<std::string> Space::find_fault(const Arch& arch) const {
  Arch prefix;
  Decision d;
  while (next(prefix, d)) {
    const size_t at = prefix.size();
    if (at == arch.size()) return "ends after " + std::to_string(at) + " choices, where one more is needed";
    if (!is_legal(d, arch[at]))
      return "choice " + std::to_string(at) + " is " + std::to_string(arch[at]) + ", which is not allowed there";
    prefix.push_back(arch[at]);
  }
  if (prefix.size() != arch.size())
    return "has " + std::to_string(arch.size()) + " choices, not " + std::to_string(prefix.size());
  return {};
}

void Space::validate(const Arch& arch) const {
  const auto fault = find_fault(arch);
  MIXOP_CHECK(!fault, name(), ": not an architecture of this space: ", *fault);
}

std::vector<int32_t> Space::state(const Arch& prefix) const {
  return {static_cast<int32_t>(prefix.size()), prefix.empty() ? -1 : prefix.back()};
}

Arch Space::sample(Random& random) const {
  return walk([&](const Decision& d, size_t) { return draw(d, random); });
}

Child Space::mutate(const Arch& arch, Random& random) const {
  std::vector<size_t> places;  // where there is a choice
  walk([&](const Decision& d, size_t at) {
    if (d.legal.size() > 1) places.push_back(at);
    return arch[at];
  });
  MIXOP_CHECK(!places.empty(), name(), ": has one architecture only, nothing to mutate");
  const size_t place = random.one_of(places);
  return {walk([&](const Decision& d, size_t at) {
    if (at == place) return draw_other(d, arch[at], random);
    return at < arch.size() && is_legal(d, arch[at]) ? arch[at] : draw(d, random);
  })};
}

Arch Space::redraw(const Arch& arch, double rate, Random& random) const {
  return walk([&](const Decision& d, size_t at) {
    const bool keep = at < arch.size() && is_legal(d, arch[at]);
    return random.chance(rate) || !keep ? draw(d, random) : arch[at];
  });
}

Arch Space::crossover(const Arch& a, const Arch& b, Random& random) const {
  return walk([&](const Decision& d, size_t at) {
    const bool first = random.chance(0.5);
    for (const Arch* parent : {first ? &a : &b, first ? &b : &a})
      if (at < parent->size() && is_legal(d, (*parent)[at])) return (*parent)[at];
    return draw(d, random);
  });
}

std::vector<Arch> Space::neighbours(const Arch& arch) const {
  std::vector<Decision> decisions;
  walk([&](const Decision& d, size_t at) {
    decisions.push_back(d);
    return arch[at];
  });
  std::vector<Arch> all;
  for (size_t place = 0; place < decisions.size(); ++place)
    for (const int32_t value : decisions[place].legal) {
      if (value == arch[place]) continue;
      all.push_back(walk([&](const Decision& d, size_t at) {
        if (at == place) return value;
        return at < arch.size() ? nearest_legal(d, arch[at]) : d.legal.front();
      }));
    }
  return all;
}

size_t Space::features(Encoding encoding) const {
  if (encoding != Encoding::kOneHot) return 0;
  const std::vector<int> sizes = kinds();
  size_t n = 0;
  walk([&](const Decision& d, size_t) {
    n += static_cast<size_t>(sizes[static_cast<size_t>(d.kind)]);
    return d.legal.front();
  });
  return n;
}

void Space::encode(const Arch& arch, Encoding encoding, std::span<float> to) const {
  MIXOP_CHECK(features(encoding) > 0, name(), ": has no such encoding");
  std::fill(to.begin(), to.end(), 0.0f);
  const std::vector<int> sizes = kinds();
  size_t base = 0;
  walk([&](const Decision& d, size_t at) {
    to[base + static_cast<size_t>(arch[at])] = 1;
    base += static_cast<size_t>(sizes[static_cast<size_t>(d.kind)]);
    return arch[at];
  });
}

NetworkOutputs Space::build(autograd::Graph&, autograd::Value, Stores&, const Arch&, const NetworkScale&,
                            bool) const {
  kernels::fail(name(), ": architectures of this space cannot be trained here");
}

std::string Space::draw_dot(const Arch&) const { kernels::fail(name(), ": draws no pictures"); }

}  // namespace mixop::nas
