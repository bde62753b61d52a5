// NAS-Bench-101: pruning, the benchmark's own names, the number of cells, encodings, text forms.
#include <gtest/gtest.h>
#include <openssl/evp.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "kernels/core/check.h"
#include "nas/md5.h"
#include "nas/space/nb101.h"
#include "nas/space/nb101_text.h"
#include "tests/support/published_data.h"

namespace mixop {
namespace {

using nas::Nb101Graph;

std::string hash_of(const std::string& text) { return nas::nb101_hash(nas::parse_nb101(text)); }
nas::ArchKey key_of(const std::string& text) { return nas::nb101_key(nas::parse_nb101(text)); }

void expect_same(const std::string& a, const std::string& b, bool same) {
  EXPECT_EQ(hash_of(a) == hash_of(b), same) << a << " and " << b;
  EXPECT_EQ(key_of(a) == key_of(b), same) << a << " and " << b;
}

TEST(Md5, EqualsOpenSsl) {
  std::string text;
  for (int length = 0; length < 200; ++length) {
    unsigned char bytes[EVP_MAX_MD_SIZE];
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), bytes, &size, EVP_md5(), nullptr);
    std::string expected;
    for (unsigned i = 0; i < size; ++i)
      for (const int shift : {4, 0}) expected += "0123456789abcdef"[bytes[i] >> shift & 15];
    ASSERT_EQ(nas::md5_hex(text), expected) << length;
    text += static_cast<char>(length * 37);
  }
}

// The cases of the benchmark's own test of its hash.
TEST(Nb101Hash, DiamondWithTheMiddleSwapped) { expect_same("110011:12", "110011:21", true); }

TEST(Nb101Hash, PermutedVertices) {
  // Beside an operation 1, a chain of operations 2 and 0, drawn in three orders.
  const std::string a = "1100001101:120", b = "1010100011:201", c = "1100010011:210";
  expect_same(a, b, true);
  expect_same(a, c, true);
  expect_same(a, "1100001101:201", false);  // the matrix of a with the operations of b
}

TEST(Nb101Hash, ChainsReadForwards) {
  expect_same("1000100101:100", "1000100101:001", false);
  expect_same("101101:10", "101101:01", false);  // 0>1>2>3 and 0>3
}

TEST(Nb101Hash, AnyOrderOfTheVertices) {
  nas::Nb101Space space;
  nas::Random random(3);
  for (int i = 0; i < 300; ++i) {
    const Nb101Graph g = nas::nb101_graph(space.sample(random));
    // Renumbers interior vertices where edges still go upwards.
    std::vector<int> order(static_cast<size_t>(g.vertices));
    std::iota(order.begin(), order.end(), 0);
    int different = 0;
    do {
      Nb101Graph h;
      h.vertices = g.vertices;
      bool upwards = true;
      for (int from = 0; from < g.vertices; ++from) {
        const auto f = static_cast<size_t>(order[static_cast<size_t>(from)]);
        h.op[f] = g.op[static_cast<size_t>(from)];
        for (int to = from + 1; to < g.vertices; ++to)
          if (g.edge(from, to)) {
            const int t = order[static_cast<size_t>(to)];
            upwards = upwards && static_cast<int>(f) < t;
            h.out[f] |= static_cast<uint8_t>(1u << t);
          }
      }
      if (!upwards) continue;
      ++different;
      ASSERT_EQ(nas::nb101_key(h), nas::nb101_key(g));
      if (different == 2) {
        ASSERT_EQ(nas::nb101_hash(h), nas::nb101_hash(g));
      }
    } while (std::next_permutation(order.begin() + 1, order.end() - 1));
    EXPECT_GE(different, 1);
  }
}

TEST(Nb101Hash, PublishedNames) {
  const auto file = test::published_file("nb101_sample.csv");
  if (!file) GTEST_SKIP() << "nb101_sample.csv is absent: set MIXOP_SHARED";
  const auto rows = test::read_csv(*file);
  EXPECT_EQ(rows.size(), 30001u);
  std::set<nas::ArchKey> keys;
#ifdef __SANITIZE_ADDRESS__
  constexpr size_t kStep = 20;
#else
  constexpr size_t kStep = 1;
#endif
  for (size_t i = 0; i < rows.size(); ++i) {
    const auto& row = rows[i];
    const Nb101Graph g = nas::parse_nb101(row.at("adj_upper") + ":" + row.at("ops"));
    EXPECT_EQ(nas::prune(g), g);
    keys.insert(nas::nb101_key(g));
    if (i % kStep == 0) {
      ASSERT_EQ(nas::nb101_hash(g), row.at("hash"));
    }
  }
  EXPECT_EQ(keys.size(), rows.size());
}

TEST(Nb101Cells, PublishedCounts) {
  const int64_t expected[] = {1, 7, 91, 2532, 64542, 423624};
#ifdef __SANITIZE_ADDRESS__
  constexpr int kMost = 5;
#else
  constexpr int kMost = 7;
#endif
  for (int vertices = 2; vertices <= kMost; ++vertices)
    EXPECT_EQ(nas::count_nb101_cells(vertices), expected[vertices - 2]) << vertices << " vertices";
}

TEST(Nb101Cells, CountOfRawGraphs) {
  EXPECT_EQ(nas::Nb101Space().count(), 1538083 * 243);  // matrices, counted once more in Python, times labelings
}

TEST(Nb101Cells, DeadVerticesDoNotCount) {
  // Vertex 1 leads nowhere, vertex 2 comes from nowhere.
  EXPECT_EQ(nas::prune(nas::parse_nb101("1010000101:210")), nas::parse_nb101("101:0"));
  EXPECT_FALSE(nas::prune(nas::parse_nb101("100001:00")));
  nas::Nb101Space space;
  EXPECT_EQ(space.key(space.parse("1:")), space.key(space.parse("101000:12")));
  EXPECT_THROW(space.parse("100001:00"), Error);       // no path
  EXPECT_THROW(space.parse("1111111111:000"), Error);  // ten edges
}

TEST(Nb101Cells, RawGraphsMayHaveMoreEdges) {
  nas::Nb101Space space;
  nas::Random random(1);
  int large = 0;
  for (int i = 0; i < 2000; ++i) {
    const nas::Arch arch = space.sample(random);
    const auto edges = std::accumulate(arch.begin(), arch.begin() + 21, 0);
    EXPECT_LE(nas::nb101_graph(arch).edges(), 9);
    if (edges > 9) {
      ++large;
      ASSERT_EQ(space.Space::find_fault(arch), std::nullopt);  // next() allows them too
    }
  }
  EXPECT_GT(large, 0);
}

TEST(Nb101Text, Forms) {
  nas::Nb101Space space;
  const nas::Arch arch = space.parse("111011:02");
  const Nb101Graph g = nas::nb101_graph(arch);
  const std::string json = nas::format_nb101_json(g);
  EXPECT_NE(json.find(R"(["input","conv3x3-bn-relu","maxpool3x3","output"])"), std::string::npos) << json;
  EXPECT_EQ(space.parse(json), space.parse(nas::format_nb101(g)));
  for (const char* wrong : {"", "1", "11:0", "111:3", "112:0", "{", "{}", "11111111111111111111111111111:000000",
                            R"({"module_adjacency": [[0,1],[1,0]], "module_operations": ["input","output"]})",
                            R"({"module_adjacency": [[0,1],[0,0]], "module_operations": ["input","conv"]})",
                            R"({"module_adjacency": [[0,1],[0]], "module_operations": ["input","output"]})",
                            R"({"module_adjacency": [[0,1]], "module_operations": ["input"]})"})
    EXPECT_THROW(space.parse(wrong), Error) << wrong;
}

TEST(Nb101Encodings, Paths) {
  nas::Nb101Space space;
  EXPECT_EQ(space.features(nas::Encoding::kOneHot), 36u);
  std::vector<float> path(space.features(nas::Encoding::kPath));
  EXPECT_EQ(path.size(), 364u);
  // 0>1>3 (op 0), 0>2>3 (op 2), 0>3: numbers 1 + 0, 1 + 2 and 0.
  space.encode(space.parse("111011:02"), nas::Encoding::kPath, path);
  for (size_t i = 0; i < path.size(); ++i) EXPECT_EQ(path[i], i == 0 || i == 1 || i == 3) << i;
  // The chain of five operations 2: the last feature.
  space.encode(space.parse("100000100001000100101:22222"), nas::Encoding::kPath, path);
  for (size_t i = 0; i < path.size(); ++i) EXPECT_EQ(path[i], i == 363) << i;
}

}  // namespace
}  // namespace mixop
