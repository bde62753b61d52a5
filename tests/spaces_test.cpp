// What holds for every search space: text both ways, valid results of every change, encodings, keys and counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/core/check.h"
#include "nas/genotypes_published.h"
#include "nas/space/darts_space.h"
#include "nas/space/nb201.h"
#include "nas/space/spaces.h"
#include "tests/support/published_data.h"

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
    EXPECT_EQ(all.empty(), space->kinds().empty());  // DNA has no end of changes and lists none
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

INSTANTIATE_TEST_SUITE_P(All, EverySpace, testing::ValuesIn(nas::space_names()), [](const auto& info) {
  std::string name = info.param;
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
});

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

TEST(MacroNetworks, KeysAreThePublishedDuplicates) {
  const auto space = nas::find_space("nbmacro");
  std::set<nas::ArchKey> keys;
  for (int code = 0; code < 6561; ++code) {
    Arch arch(8);
    for (size_t i = 8, rest = static_cast<size_t>(code); i-- > 0; rest /= 3) arch[i] = static_cast<int>(rest % 3);
    keys.insert(space->key(arch));
  }
  EXPECT_EQ(keys.size(), 3969u);
  EXPECT_EQ(space->count_classes(), 3969);
  const auto file = test::published_file("nbmacro.csv");
  if (!file) GTEST_SKIP() << "nbmacro.csv is absent: set MIXOP_SHARED";
  std::map<nas::ArchKey, std::string> results;
  for (auto& row : test::read_csv(*file)) {
    const std::string result = row["params"] + " " + row["flops"] + " " + row["test_acc_0"];
    ASSERT_EQ(results.try_emplace(space->key(space->parse(row["arch"])), result).first->second, result);
  }
}

TEST(DartsCells, GenotypesBothWays) {
  const auto space = nas::find_space("darts");
  EXPECT_NEAR(space->count(), 1.07675e18, 1e13);
  for (const char* name : {"DARTS_V1", "DARTS_V2", "PC_DARTS"}) {
    const nas::Genotype published = nas::load_genotype(name);
    const nas::Genotype read = nas::darts_genotype(space->parse(name));
    for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce})
      for (size_t e = 0; e < 8; e += 2) {
        auto a = published.cell(kind).edges, b = read.cell(kind).edges;
        EXPECT_TRUE((a[e] == b[e] && a[e + 1] == b[e + 1]) || (a[e] == b[e + 1] && a[e + 1] == b[e])) << name;
      }
  }
  EXPECT_THROW(space->parse("AmoebaNet"), Error);  // seven-pixel convolutions
}

TEST(DartsCells, MutationChangesOneEdge) {
  const auto space = nas::find_space("darts");
  nas::Random random(2);
  const Arch arch = space->parse("DARTS_V2");
  const nas::Genotype parent = nas::darts_genotype(arch);
  std::set<std::string_view> whats;
  for (int i = 0; i < 300; ++i) {
    const nas::Child child = space->mutate(arch, random);
    whats.insert(child.what);
    const nas::Genotype g = nas::darts_genotype(child.arch);
    int kept = 0;  // edges that the child shares with its parent, node by node
    for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce})
      for (size_t e = 0; e < 8; ++e) {
        const auto& edges = parent.cell(kind).edges;
        const nas::Edge edge = g.cell(kind).edges[e];
        kept += edge == edges[e / 2 * 2] || edge == edges[e / 2 * 2 + 1];
      }
    ASSERT_EQ(kept, 15) << space->format(child.arch);
    // An edge that reads another state keeps its operation, one with another operation its state.
    for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce})
      for (size_t e = 0; e < 8; e += 2) {
        const auto kept_of = [&](const nas::Edge& edge) {
          return child.what == "input" ? static_cast<int>(edge.op) : edge.input;
        };
        const auto &a = g.cell(kind).edges, &b = parent.cell(kind).edges;
        ASSERT_EQ((std::multiset<int>{kept_of(a[e]), kept_of(a[e + 1])}),
                  (std::multiset<int>{kept_of(b[e]), kept_of(b[e + 1])}))
            << space->format(child.arch);
      }
  }
  EXPECT_EQ(whats, (std::set<std::string_view>{"input", "operation"}));
}

TEST(NasnetCells, CountsAndVariants) {
  // AmoebaNet's encodings, 5.57e14 a cell (Real et al. 2019), and NASNet's 50 decisions.
  EXPECT_NEAR(std::sqrt(nas::find_space("nasnet:ops=8,concat=0")->count()), 5.57e14, 5e11);
  const auto space = nas::find_space("nasnet");
  nas::Random random(4);
  EXPECT_EQ(space->sample(random).size(), 50u);
  EXPECT_EQ(nas::find_space("nasnet:blocks=3,concat=0")->sample(random).size(), 24u);
  EXPECT_THROW(nas::find_space("nasnet:ops=9"), Error);
  EXPECT_THROW(nas::find_space("nasnet:blocks=0"), Error);
  EXPECT_THROW(nas::find_space("nasnet:block=5"), Error);
}

TEST(NasnetCells, TextAndKey) {
  const auto space = nas::find_space("nasnet:blocks=2");
  const auto parse = [&](const std::string& text) { return space->parse(text); };
  const std::string rest = " reduce conv_3x3(1)&max_pool_7x7(0) identity(0)+identity(0)";
  const Arch arch = parse("normal sep_conv_5x5(1)+sep_conv_3x3(0) avg_pool_3x3(2)+identity(1)" + rest);
  EXPECT_EQ(arch, (Arch{1, 0, 11, 10, 0, 2, 1, 4, 0, 0, 1, 0, 9, 7, 1, 0, 0, 0, 0, 0}));
  const Arch turned = parse("normal sep_conv_3x3(0)+sep_conv_5x5(1) avg_pool_3x3(2)+identity(1)" + rest);
  const Arch other = parse("normal sep_conv_3x3(0)&sep_conv_5x5(1) avg_pool_3x3(2)+identity(1)" + rest);
  EXPECT_NE(arch, turned);
  EXPECT_EQ(space->key(arch), space->key(turned));
  EXPECT_NE(space->key(arch), space->key(other));
  for (const char* wrong : {"normal", "normal sep_conv_5x5(2)+identity(0)", "normal sep_conv_9x9(0)+identity(0)",
                            "normal identity(0)-identity(0)", "reduce"})
    EXPECT_THROW(parse(wrong), Error) << wrong;
}

TEST(NasnetCells, MutationsAsAmoebanet) {
  const auto space = nas::find_space("nasnet:ops=8,concat=0");
  nas::Random random(9);
  const Arch arch = space->sample(random);
  std::map<std::string_view, int> whats;
  for (int i = 0; i < 20000; ++i) {
    const nas::Child child = space->mutate(arch, random);
    ++whats[child.what];
    int changed = 0;
    for (size_t n = 0; n < arch.size(); ++n) changed += child.arch[n] != arch[n];
    ASSERT_EQ(changed, child.what == "identity" ? 0 : 1);
  }
  EXPECT_NEAR(whats["identity"], 1000, 120);
  EXPECT_NEAR(whats["state"], 9500, 280);
  EXPECT_NEAR(whats["operation"], 9500, 280);
}

TEST(Hierarchical, KeysExpandTheMotifs) {
  const auto space = nas::find_space("hierarchical");
  const auto key = [&](const std::string& text) { return space->key(space->parse(text)); };
  const std::string chain = "601006", other = "123456";
  // Motif 1 or the equal motif 2; motif 3 is not used.
  const std::string zeros = ".000000.000000.000000.";
  EXPECT_EQ(key(chain + "." + chain + "." + other + zeros + "1000000000"),
            key(chain + "." + chain + ".000000" + zeros + "2000000000"));
  EXPECT_NE(key(chain + "." + chain + "." + other + zeros + "1000000000"),
            key(chain + "." + chain + "." + other + zeros + "3000000000"));
  EXPECT_NE(key(chain + "." + chain + "." + other + zeros + "1000000000"),
            key(chain + "." + chain + "." + other + zeros + "0100000000"));
  EXPECT_THROW(space->parse("601006"), Error);
  EXPECT_THROW(space->parse(chain + "." + chain + "." + other + zeros + "7000000000"), Error);
}

}  // namespace
}  // namespace mixop
