// The genomes of Large-Scale Evolution (Real et al. 2017).
#include "nas/space/dna.h"

#include <map>
#include <set>

#include "autograd/checkpoint.h"
#include "kernels/core/check.h"
#include "nas/space/spaces.h"
#include "tests/support/network_check.h"
#include "tests/support/space_check.h"

namespace mixop::test {
namespace {

// Two convolutions and skips past one and past both.
const std::string kForked =
    "lr:0 next:12 v0:linear v3:relu v5:linear v1:linear e2:5-1:identity e4:0-3:conv:3x1:s1:f1024 "
    "e6:3-5:conv:1x3:s0:f1536 e7:0-5:identity e8:0-1:identity";

TEST(Dna, DrawsAndText) {
  const auto space = nas::find_space("dna");
  check_space(*space, 200);
  nas::Random random(0);
  EXPECT_EQ(space->format(space->start(random)), "lr:0 next:3 v0:linear v1:linear e2:0-1:identity");
  EXPECT_EQ(space->format(space->parse(kForked)), kForked);
  EXPECT_EQ(space->training(space->parse(kForked)).lr, 0.1);
  const auto error = [&](std::string text, const std::string& from, const std::string& to) {
    text.replace(text.find(from), from.size(), to);
    try {
      space->parse(text);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(error(kForked, "e8:0-1", "e8:1-0").find("edge 8 does not lead"), std::string::npos);
  EXPECT_NE(error(kForked, "e8:", "e7:").find("edge id 7 is taken"), std::string::npos);
  EXPECT_NE(error(kForked, "3x1", "4x1").find("expected an odd kernel size"), std::string::npos);
  EXPECT_NE(error(kForked, " e2:5-1:identity", "").find("vertex 5 leads nowhere"), std::string::npos);
  EXPECT_NE(error(kForked, ":s1:", ":s21:").find("out of range"), std::string::npos);
}

// Of a genome that all mutations can change, each comes as often.
TEST(Dna, ElevenMutationsAreEquallyLikely) {
  const auto space = nas::find_space("dna");
  const nas::Arch arch = space->parse(kForked);
  std::map<std::string_view, int> seen;
  nas::Random random(2);
  constexpr int kDraws = 11000;
  for (int i = 0; i < kDraws; ++i) {
    const nas::Child child = space->mutate(arch, random);
    ++seen[child.what];
    EXPECT_EQ(child.inherits, child.what != "RESET-WEIGHTS");
    EXPECT_EQ(space->find_fault(child.arch), std::nullopt);
  }
  EXPECT_EQ(seen.size(), 11u);
  for (const auto& [what, times] : seen) EXPECT_NEAR(times, 1000, 150) << what;
  // The trivial genome has nothing to remove or to alter in a convolution, and no place for a skip.
  const nas::Arch trivial = space->start(random);
  seen.clear();
  for (int i = 0; i < 1000; ++i) ++seen[space->mutate(trivial, random).what];
  EXPECT_EQ(seen.size(), 5u);
}

/// The genome after the mutation of that name, made once.
nas::Dna mutated(const std::string& text, std::string_view what, uint64_t seed = 0) {
  const auto space = nas::find_space("dna");
  nas::Dna dna = nas::Dna::from(space->parse(text));
  nas::Random random(seed);
  const auto names = nas::dna_mutations();
  const auto at = std::find(names.begin(), names.end(), what);
  EXPECT_TRUE(nas::mutate_dna(dna, static_cast<size_t>(at - names.begin()), random)) << what;
  return dna;
}

TEST(Dna, MutationsDoWhatTheirNamesSay) {
  const nas::Dna before = nas::Dna::from(nas::find_space("dna")->parse(kForked));
  std::set<int32_t> lr, strides, widths, heights;
  std::set<size_t> edges;
  for (uint64_t seed = 0; seed < 200; ++seed) {
    lr.insert(mutated(kForked, "ALTER-LEARNING-RATE", seed).lr);
    const nas::Dna sized = mutated(kForked, "FILTER-SIZE", seed);
    heights.insert(sized.edges[1].half_height);
    widths.insert(sized.edges[1].half_width);
    strides.insert(mutated(kForked, "ALTER-STRIDE", seed).edges[1].stride);
    const nas::Dna grown = mutated(kForked, "INSERT-CONVOLUTION", seed);
    EXPECT_EQ(grown.edges.size(), before.edges.size() + 1);
    EXPECT_EQ(grown.vertices.size(), before.vertices.size() + 1);
    EXPECT_EQ(grown.edges.back().filters, 0);
    EXPECT_EQ(grown.edges.back().half_width, 1);
    EXPECT_LE(grown.edges.back().stride, 1);
    for (size_t i = 0; i < before.edges.size(); ++i) EXPECT_EQ(grown.edges[i].id, before.edges[i].id);
    edges.insert(mutated(kForked, "REMOVE-CONVOLUTION", seed).edges.size());
    const nas::Dna unskipped = mutated(kForked, "REMOVE-SKIP", seed);
    EXPECT_EQ(unskipped.edges.size(), before.edges.size() - 1);
    EXPECT_EQ(unskipped.edges[0].id, 2);  // primary edges stay
    EXPECT_EQ(unskipped.edges[1].id, 4);
  }
  EXPECT_GT(lr.size(), 100u);
  EXPECT_GE(*lr.begin(), -1024);
  EXPECT_LE(*lr.rbegin(), 1024);
  EXPECT_EQ(strides, (std::set<int32_t>{0, 1, 2}));
  EXPECT_EQ(heights, (std::set<int32_t>{0, 1, 2}));  // 3 becomes 1, 3 or 5
  EXPECT_EQ(widths, (std::set<int32_t>{0}));         // 1 stays below 3
  EXPECT_EQ(edges, (std::set<size_t>{4, 5}));        // with its vertex, or an identity in its place
  EXPECT_EQ(mutated(kForked, "IDENTITY").numbers(), before.numbers());
  EXPECT_EQ(mutated(kForked, "ADD-SKIP").edges.size(), before.edges.size() + 1);
}

// Vertices stay on a way from images to classifier through long lines of descent.
TEST(Dna, LongLinesStayValid) {
  const auto space = nas::find_space("dna");
  for (uint64_t seed = 0; seed < 5; ++seed) {
    nas::Random random(seed);
    nas::Arch arch = space->start(random);
    for (int i = 0; i < 400; ++i) {
      arch = space->mutate(arch, random).arch;
      ASSERT_EQ(space->find_fault(arch), std::nullopt) << space->format(arch);
    }
    EXPECT_GT(arch.size(), 100u);
  }
}

TEST(Dna, Networks) {
  const auto space = nas::find_space("dna");
  nas::Random random(0);
  check_network(*space, space->parse(kForked), 7);
  // Channels cut off and filled up, maps grown by 2 and 4 and cut to an odd size, shrunk by 4.
  check_network(*space,
                space->parse("lr:0 next:12 v0:linear v3:relu v5:relu v1:linear e4:0-3:conv:3x3:s2:f1536 "
                             "e6:3-5:conv:3x3:s0:f0 e7:0-5:identity e8:0-1:conv:1x1:s0:f512 e9:5-1:identity "
                             "e10:3-1:identity e11:0-3:identity"),
                7);
}

// Whatever descends from the trivial genome can be built.
TEST(Dna, EveryDrawBuilds) {
  const nas::DnaSpace space(100);
  nas::Random random(3);
  for (int i = 0; i < 60; ++i) build_only(space, space.sample(random), 1 + i % 32);
  EXPECT_NE(space.draw_dot(space.parse(kForked)).find("0 -> 3 [label=\"conv:3x1:s1:f1024\"]"), std::string::npos);
}

/// What an identity edge out of the images gives a vertex of other shape, by a network whose only weights are the
/// classifier's: exact numbers of the resizing.
TEST(Dna, ReshapesByNearestPixelAndZeroChannels) {
  const auto space = nas::find_space("dna");
  // The primary edge makes 3 channels of 4x4 pixels out of 7x7 with 2 channels; it is 0 here, the skip remains.
  const nas::Arch arch = space->parse(
      "lr:0 next:9 v0:linear v3:linear v1:linear e4:0-3:conv:1x1:s1:f599 e5:0-3:identity e2:3-1:identity");
  SmallNetwork network(*space, arch, 7, kernels::DType::kF64, false, 1);
  const kernels::View w = network.stores.weights.view(network.stores.weights.find("edge.4.w"));
  set_numbers(w, [](int64_t) { return 0; });
  const kernels::View classifier = network.stores.weights.view(network.stores.weights.find("classifier.w"));
  ASSERT_EQ(classifier.shape, (kernels::Shape{3, 3}));
  set_numbers(classifier, [](int64_t i) { return i % 4 == 0; });  // logits are the means of the channels
  set_numbers(network.stores.weights.view(network.stores.weights.find("classifier.b")), [](int64_t) { return 0; });
  const std::vector<double> image = numbers_of(network.plan.input("images"));
  const std::vector<double> got = network.logits();
  for (size_t c = 0; c < 2; ++c) {
    double mean = 0;
    for (size_t y = 0; y < 7; y += 2)
      for (size_t x = 0; x < 7; x += 2) mean += image[(y * 7 + x) * 2 + c] / 16;
    EXPECT_NEAR(got[c], mean, 1e-12);
  }
  EXPECT_EQ(got[2], 0);
}

// The weights of a child carry its parent's names where layers are unchanged.
TEST(Dna, ChildrenFindTheirParentsWeights) {
  const auto space = nas::find_space("dna");
  const nas::Arch parent = space->parse(kForked);
  const auto names = [&](const nas::Arch& arch) {
    SmallNetwork network(*space, arch, 8, kernels::DType::kF32);
    std::map<std::string, kernels::Shape> all;
    for (const auto& e : network.stores.weights.entries()) all.emplace(e.name, e.shape);
    return all;
  };
  const auto before = names(parent), same = names(mutated(kForked, "IDENTITY").numbers());
  EXPECT_EQ(before, same);
  const auto grown = names(mutated(kForked, "INSERT-CONVOLUTION").numbers());
  for (const char* name : {"edge.4.w", "edge.6.w", "vertex.3.bn.gamma", "classifier.w"})
    EXPECT_TRUE(grown.count(name)) << name;
  EXPECT_GT(grown.size(), before.size());
}

// Before it is trained, a child that differs in nothing answers as its trained parent to the bit; one with another
// convolution does not, although it has its parent's weights.
TEST(Dna, InheritedWeightsAnswerAsTheParent) {
  const auto space = nas::find_space("dna");
  const nas::Arch parent = space->parse(kForked);
  SmallNetwork trained(*space, parent, 8, kernels::DType::kF32);
  trained.stores.optimizer.set("weights.lr", 0.01);
  for (int i = 0; i < 5; ++i) trained.run();
  const std::string weights = autograd::to_safetensors({&trained.stores.weights, &trained.stores.state});
  const auto answers = [&](const nas::Arch& child, size_t inherited) {
    SmallNetwork network(*space, child, 8, kernels::DType::kF32, false);
    if (inherited > 0) {
      const auto found =
          autograd::inherit_safetensors(weights, "parent", {&network.stores.weights, &network.stores.state});
      EXPECT_EQ(found.taken.size(), inherited);
    }
    return network.logits();
  };
  const std::vector<double> want = answers(parent, 8);
  EXPECT_NE(want, answers(parent, 0));
  EXPECT_EQ(want, answers(mutated(kForked, "IDENTITY").numbers(), 8));
  EXPECT_NE(want, answers(mutated(kForked, "INSERT-CONVOLUTION").numbers(), 8));
}

}  // namespace
}  // namespace mixop::test
