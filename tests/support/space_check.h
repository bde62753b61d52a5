// What must hold of every space.
#pragma once

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

#include "nas/space/space.h"

namespace mixop::test {

/// Draws and everything made of them are valid, come back from their text, and encode to as many ones as there are
/// choices.
inline void check_space(const nas::Space& space, int draws) {
  nas::Random random(1);
  nas::Arch last = space.sample(random);
  for (int i = 0; i < draws; ++i) {
    const nas::Arch arch = space.sample(random);
    for (const nas::Arch& a : {arch, space.mutate(arch, random).arch, space.redraw(arch, 0.3, random),
                               space.crossover(arch, last, random)}) {
      ASSERT_EQ(space.find_fault(a), std::nullopt) << space.format(a);
      ASSERT_EQ(space.parse(space.format(a)), a) << space.format(a);
    }
    ASSERT_EQ(space.crossover(arch, arch, random), arch);
    if (const size_t features = space.features(nas::Encoding::kOneHot)) {
      std::vector<float> code(features);
      space.encode(arch, nas::Encoding::kOneHot, code);
      ASSERT_EQ(std::accumulate(code.begin(), code.end(), 0.0f), static_cast<float>(arch.size()));
    }
    last = arch;
  }
  for (const nas::Arch& n : space.neighbours(last)) {
    ASSERT_EQ(space.find_fault(n), std::nullopt) << space.format(n);
    ASSERT_NE(n, last);
  }
}

/// How many architectures there are by walking through all of them.
inline double count_by_walking(const nas::Space& space, const nas::Arch& prefix = {}) {
  nas::Decision d;
  if (!space.next(prefix, d)) return 1;
  double n = 0;
  for (const int32_t value : d.legal) {
    nas::Arch longer = prefix;
    longer.push_back(value);
    n += count_by_walking(space, longer);
  }
  return n;
}

}  // namespace mixop::test
