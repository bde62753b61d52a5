// What holds for every search space: text both ways, valid results of every change, encodings, keys and counts.
#include <gtest/gtest.h>

#include <cmath>
#include <set>

#include "kernels/core/check.h"
#include "nas/space/nb201.h"
#include "nas/space/spaces.h"
#include "support/published_data.h"

namespace mixop {
namespace {

using nas::Arch;

class EverySpace : public testing::TestWithParam<std::string> {
 protected:
  std::unique_ptr<nas::Space> space = nas::find_space(GetParam());
  nas::Random random{11};
};

TEST_P(EverySpace, ReadsWhatItWrites) {
  for (int i = 0; i < 200; ++i) {
    const Arch arch = space->sample(random);
    ASSERT_NO_THROW(space->validate(arch));
    const std::string text = space->format(arch);
    EXPECT_EQ(text.find('\n'), std::string::npos);
    ASSERT_EQ(space->parse(text), arch) << text;
  }
  EXPECT_THROW(space->parse("?"), Error);
  EXPECT_THROW(space->validate({-1}), Error);
}

TEST_P(EverySpace, ChangesStayInside) {
  Arch arch = space->sample(random);
  std::set<Arch> seen;
  for (int i = 0; i < 200; ++i) {
    const nas::Child child = space->mutate(arch, random);
    ASSERT_NO_THROW(space->validate(child.arch)) << space->format(arch);
    const Arch other = space->sample(random);
    const Arch crossed = space->crossover(child.arch, other, random);
    ASSERT_NO_THROW(space->validate(crossed));
    ASSERT_EQ(space->crossover(arch, arch, random), arch);
    ASSERT_EQ(space->redraw(arch, 0, random), arch);
    ASSERT_NO_THROW(space->validate(space->redraw(arch, 0.3, random)));
    arch = child.arch;
    seen.insert(arch);
  }
  EXPECT_GT(seen.size(), 100u);
}

TEST_P(EverySpace, NeighboursAreOthers) {
  for (int i = 0; i < 5; ++i) {
    const Arch arch = space->sample(random);
    const std::vector<Arch> all = space->neighbours(arch);
    EXPECT_FALSE(all.empty());
    EXPECT_EQ(all, space->neighbours(arch));
    for (const Arch& other : all) {
      ASSERT_NE(other, arch);
      ASSERT_NO_THROW(space->validate(other));
    }
  }
}

TEST_P(EverySpace, IsBuiltStepByStep) {
  const std::vector<int> kinds = space->kinds();
  if (kinds.empty()) GTEST_SKIP() << GetParam() << " is not built step by step";
  for (int i = 0; i < 50; ++i) {
    const Arch arch = space->sample(random);
    Arch prefix;
    for (nas::Decision d; space->next(prefix, d);) {
      ASSERT_LT(prefix.size(), arch.size());
      ASSERT_TRUE(std::is_sorted(d.legal.begin(), d.legal.end()));
      ASSERT_EQ(std::count(d.legal.begin(), d.legal.end(), arch[prefix.size()]), 1);
      ASSERT_GE(d.legal.front(), 0);
      ASSERT_LT(d.legal.back(), kinds.at(static_cast<size_t>(d.kind)));
      prefix.push_back(arch[prefix.size()]);
    }
    ASSERT_EQ(prefix, arch);
  }
}

TEST_P(EverySpace, EncodesEveryArchitecture) {
  for (const nas::Encoding encoding : {nas::Encoding::kOneHot, nas::Encoding::kPath}) {
    const size_t n = space->features(encoding);
    if (n == 0) continue;
    for (int i = 0; i < 50; ++i) {
      std::vector<float> features(n, -1);
      space->encode(space->sample(random), encoding, features);
      for (const float f : features) ASSERT_TRUE(f == 0 || f == 1);
    }
  }
}

TEST_P(EverySpace, SameSeedSameArchitectures) {
  nas::Random a(5), b(5);
  for (int i = 0; i < 20; ++i) {
    const Arch one = space->sample(a), two = space->sample(b);
    ASSERT_EQ(one, two);
    EXPECT_EQ(space->key(one), space->key(two));
    EXPECT_EQ(space->mutate(one, a).arch, space->mutate(two, b).arch);
  }
}

INSTANTIATE_TEST_SUITE_P(All, EverySpace, testing::ValuesIn(nas::space_names()),
                         [](const auto& info) { return info.param; });

TEST(Nb201Cells, PublishedCounts) {
  const auto space = nas::find_space("nb201");
  EXPECT_EQ(space->count(), 15625);
  EXPECT_EQ(space->count_classes(), 6466);
  int disconnected = 0;
  for (int code = 0; code < 15625; ++code) {
    Arch arch(6);
    for (size_t e = 6, rest = static_cast<size_t>(code); e-- > 0; rest /= 5) arch[e] = static_cast<int>(rest % 5);
    disconnected += !nas::nb201_is_connected(arch);
    ASSERT_EQ(space->parse(space->format(arch)), arch);
  }
  EXPECT_EQ(disconnected, 341);
}

TEST(Nb201Cells, KeysAreThePublishedClasses) {
  const auto file = test::published_file("nb201.csv");
  if (!file) GTEST_SKIP() << "nb201.csv is absent: set MIXOP_SHARED";
  const auto space = nas::find_space("nb201");
  std::map<std::string, nas::ArchKey> by_class;
  std::map<nas::ArchKey, std::string> by_key;
  for (auto& row : test::read_csv(*file)) {
    const Arch arch = space->parse(row["arch"]);
    EXPECT_EQ(space->parse(row["code"]), arch);
    const nas::ArchKey key = space->key(arch);
    ASSERT_EQ(by_class.try_emplace(row["iso_id"], key).first->second, key) << row["arch"];
    ASSERT_EQ(by_key.try_emplace(key, row["iso_id"]).first->second, row["iso_id"]) << row["arch"];
  }
  EXPECT_EQ(by_class.size(), 6466u);
}

TEST(Nb201Cells, PathsWithNoneAreDropped) {
  const auto space = nas::find_space("nb201");
  std::vector<float> path(space->features(nas::Encoding::kPath));
  EXPECT_EQ(path.size(), 180u);
  // Edges 0>1 to 2>3 are 4 2 0 3 1 0: open are 0>3 (op 3) and 0>1>3 (ops 4, 1).
  space->encode({4, 2, 0, 3, 1, 0}, nas::Encoding::kPath, path);
  std::vector<size_t> set;
  for (size_t i = 0; i < path.size(); ++i)
    if (path[i] != 0) set.push_back(i);
  EXPECT_EQ(set, (std::vector<size_t>{3, 5 + 4 * 5 + 1}));
  space->encode({1, 2, 3, 4, 1, 2}, nas::Encoding::kPath, path);
  EXPECT_EQ(std::count(path.begin(), path.end(), 1.0f), 4);
  EXPECT_EQ(path[5 + 25 + 2 * 5 + 2], 1);                // 0>2>3
  EXPECT_EQ(path[5 + 25 + 25 + 1 * 25 + 3 * 5 + 2], 1);  // 0>1>2>3
}

}  // namespace
}  // namespace mixop
