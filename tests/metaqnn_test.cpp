// MetaQNN's layer space (Baker et al. 2017).
#include <map>

#include "autograd/ops/dropout.h"
#include "kernels/core/check.h"
#include "nas/space/spaces.h"
#include "tests/support/network_check.h"
#include "tests/support/space_check.h"

namespace mixop::test {
namespace {

size_t actions(const nas::Space& space, const std::string& text) {
  nas::Arch prefix;
  if (!text.empty()) {
    prefix = space.parse(text + ", SM");
    prefix.pop_back();
  }
  nas::Decision d;
  return space.next(prefix, d) ? d.legal.size() : 0;
}

TEST(MetaQnn, DrawsAndText) {
  check_space(*nas::find_space("metaqnn"), 300);
  check_space(*nas::find_space("metaqnn:layers=12,size=28"), 300);
  const auto space = nas::find_space("metaqnn");
  const std::string text = "C(512,5,1), P(5,3), C(64,3,1), P(3,2), FC(256), FC(128), SM";
  EXPECT_EQ(space->format(space->parse(text)), text);
  for (const char* bad : {"", "C(64,3,1)", "C(64,3,1) SM", "P(2,2), SM", "C(64,3,1), FC(128), SM", "SM, SM"})
    EXPECT_THROW(space->parse(bad), Error) << bad;
}

TEST(MetaQnn, LegalActionsAreThoseOfTheReleasedCode) {
  const auto space = nas::find_space("metaqnn");
  EXPECT_EQ(actions(*space, ""), 14u);
  EXPECT_EQ(actions(*space, "C(64,3,1)"), 17u);
  EXPECT_EQ(actions(*space, "C(64,3,1), P(2,2)"), 14u);                                // 16x16
  EXPECT_EQ(actions(*space, "C(64,3,1), P(2,2), C(64,3,1), P(3,2)"), 17u);             // 7x7
  EXPECT_EQ(actions(*space, "C(64,3,1), P(2,2), C(64,3,1), P(3,2), C(64,1,1)"), 20u);  // 7x7
  EXPECT_EQ(actions(*space, "C(64,3,1), P(5,3), C(64,3,1), P(5,3)"), 4u + 3 + 2);      // 2x2: 1x1 fits
  EXPECT_EQ(actions(*space, "C(64,3,1), P(2,2), C(64,3,1), P(3,2), FC(256)"), 2u + 1);
  EXPECT_EQ(actions(*space, "C(64,3,1), P(2,2), C(64,3,1), P(3,2), FC(256), FC(256)"), 1u);
  EXPECT_EQ(actions(*space, "GAP"), 1u);
  std::string longest = "C(64,1,1)";
  for (int i = 1; i < 18; ++i) longest += ", C(64,1,1)";
  EXPECT_EQ(actions(*space, longest), 1u);
}

TEST(MetaQnn, StatesAreThePapersTuples) {
  const auto space = nas::find_space("metaqnn");
  const auto state = [&](const std::string& text) {
    nas::Arch prefix = space->parse(text + ", SM");
    prefix.pop_back();
    return space->state(prefix);
  };
  // type, depth, filters, kernel, stride, bucket, width, terminated
  EXPECT_EQ(space->state({}), (std::vector<int32_t>{0, 0, 0, 0, 0, 8, 0, 0}));
  EXPECT_EQ(state("C(128,5,1)"), (std::vector<int32_t>{1, 1, 128, 5, 1, 8, 0, 0}));
  EXPECT_EQ(state("C(128,5,1), P(3,2)"), (std::vector<int32_t>{2, 2, 0, 3, 2, 8, 0, 0}));
  EXPECT_EQ(state("C(64,5,1), P(5,3), C(64,5,1), P(3,2)"), (std::vector<int32_t>{2, 4, 0, 3, 2, 4, 0, 0}));
  EXPECT_EQ(state("C(64,5,1), P(5,3), C(64,5,1), P(3,2), FC(512), FC(128)"),
            (std::vector<int32_t>{3, 6, 1, 0, 0, 0, 128, 0}));
  EXPECT_EQ(space->state(space->parse("GAP, SM")), (std::vector<int32_t>{5, 2, 0, 0, 0, 8, 0, 1}));
}

TEST(MetaQnn, CountsAllThatCanBeWalked) {
  for (const char* text : {"metaqnn:layers=1", "metaqnn:layers=3", "metaqnn:layers=4,size=8"}) {
    const auto space = nas::find_space(text);
    EXPECT_EQ(space->count(), count_by_walking(*space)) << text;
  }
}

// With uniform choices the walk ends at each step with the share of GAP and SM among the legal choices.
TEST(MetaQnn, RandomDepthsAreGeometric) {
  const auto space = nas::find_space("metaqnn");
  nas::Random random(4);
  constexpr int kDraws = 20000;
  int at_start = 0, after_one = 0, reached_two = 0;
  for (int i = 0; i < kDraws; ++i) {
    const nas::Arch arch = space->sample(random);
    const auto ends = [&](size_t at) { return arch[at] >= 18; };
    at_start += ends(0);
    if (ends(0)) continue;
    ++reached_two;
    after_one += ends(1);
  }
  EXPECT_NEAR(at_start / double{kDraws}, 2.0 / 14, 0.01);
  EXPECT_NEAR(after_one / static_cast<double>(reached_two), 2.0 / 17, 0.01);
}

TEST(MetaQnn, Networks) {
  const auto space = nas::find_space("metaqnn:size=8");
  check_network(*space, space->parse("C(64,3,1), P(2,2), C(64,1,1), FC(128), SM"), 8);
  check_network(*space, space->parse("C(64,1,1), P(3,2), GAP, SM"), 8);
  EXPECT_THROW(SmallNetwork(*space, space->parse("C(64,1,1), P(5,3), SM"), 4, kernels::DType::kF32), Error);
}

// Whatever is drawn can be built; also images that are not as large as the rules reckon with.
TEST(MetaQnn, EveryDrawBuilds) {
  const auto space = nas::find_space("metaqnn:size=28");
  nas::Random random(3);
  for (int i = 0; i < 50; ++i) build_only(*space, space->sample(random), i % 2 ? 28 : 37);
  EXPECT_NE(space->draw_dot(space->parse("C(64,3,1), GAP, SM")).find("image -> 0 -> 1 -> 2"), std::string::npos);
}

// i / 2n for the i-th of n: of five layers behind the second and the fourth, 1/4 and 1/2.
TEST(MetaQnn, DropoutGrowsWithDepth) {
  const auto space = nas::find_space("metaqnn:size=8");
  const nas::Arch arch = space->parse("C(64,1,1), C(64,1,1), C(64,1,1), C(64,1,1), C(64,1,1), SM");
  const auto masks = [&](bool training) {
    const SmallNetwork network(*space, arch, 8, kernels::DType::kF32, training);
    std::vector<double> keeps;
    for (int i = 0; i < network.g.size(); ++i)
      if (network.g.node(i).op == &autograd::kBernoulli)
        keeps.push_back(network.g.node(i).attr<kernels::BernoulliAttrs>().keep);
    return keeps;
  };
  EXPECT_EQ(masks(true), (std::vector<double>{0.75, 0.5}));
  EXPECT_TRUE(masks(false).empty());
}

}  // namespace
}  // namespace mixop::test
