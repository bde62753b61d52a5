// Chains of convolutions, and training choices in front of any space.
#include "kernels/core/check.h"
#include "nas/space/spaces.h"
#include "tests/support/network_check.h"
#include "tests/support/space_check.h"

namespace mixop::test {
namespace {

TEST(Chain, DrawsAndText) {
  check_space(*nas::find_space("chain"), 300);
  check_space(*nas::find_space("chain:layers=5,skips=1,halvings=2"), 300);
  check_space(*nas::find_space("chain:halvings=0+training"), 100);
}

TEST(Chain, CountsAllThatCanBeWalked) {
  for (const char* text : {"chain:layers=2,halvings=1", "chain:layers=2,halvings=3,skips=1", "chain:layers=1"}) {
    const auto space = nas::find_space(text);
    EXPECT_EQ(space->count(), count_by_walking(*space)) << text;
  }
}

TEST(Chain, TextNamesAnchorsAndFaults) {
  const auto space = nas::find_space("chain:layers=4,skips=1");
  const std::string text = "5x5/2,max,48,relu 3x3/1,none,24,elu< 7x7/1,none,36,silu<0+1 3x3/1,avg,64,tanh";
  const nas::Arch arch = space->parse(text);
  EXPECT_EQ(space->format(arch), text);
  EXPECT_EQ(arch, (nas::Arch{3, 1, 1, 1, 2, 0, 0, 0, 0, 0, 1, 0, 2, 0, 0, 1, 2, 1, 1, 0, 0, 2, 3, 3, 0, 0, 1}));
  nas::Decision d;
  EXPECT_TRUE(space->next(nas::Arch(arch.begin(), arch.begin() + 17), d));
  EXPECT_EQ(d.layer, 2);
  EXPECT_EQ(d.source, 0);
  const std::string dot = space->draw_dot(arch);
  for (const char* edge : {"image -> 0", "image -> 1", "0 -> 2", "1 -> 2", "2 -> 3", "3 -> classifier"})
    EXPECT_NE(dot.find(edge), std::string::npos) << edge;
  EXPECT_EQ(dot.find("0 -> 1"), std::string::npos);
  const auto error = [&](const std::string& bad) {
    try {
      space->parse(bad);
    } catch (const Error& e) {
      return std::string(e.what());
    }
    return std::string();
  };
  EXPECT_NE(error("5x5/2,max,47,relu").find("expected one of 24, 36, 48, 64 at character 10"), std::string::npos);
  EXPECT_NE(error("3x3/1,max,24,relu 3x3/1,max,24,relu<1").find("a layer before layer 1"), std::string::npos);
  EXPECT_NE(error("5x5/2,max,24,relu 5x5/2,max,24,relu").find("not allowed"), std::string::npos);  // four halvings
}

TEST(Chain, Networks) {
  const auto space = nas::find_space("chain:layers=4,skips=1");
  // A lone image input, a join of different sizes, an output that nothing uses.
  check_network(*space,
                space->parse("3x3/2,max,24,elu 3x3/1,none,24,silu< 5x5/1,none,24,tanh<0+1 3x3/1,avg,24,elu<1"), 9);
  check_network(*nas::find_space("chain"), nas::find_space("chain")->parse("7x7/1,avg,24,tanh 3x3/2,none,36,relu"),
                8);
  EXPECT_THROW(SmallNetwork(*space, space->parse("3x3/2,max,24,relu 3x3/1,max,24,relu"), 4, kernels::DType::kF32),
               Error);
}

TEST(WithTraining, ChoosesForAnySpace) {
  const auto space = nas::find_space("nb201+training");
  check_space(*space, 300);
  EXPECT_EQ(space->count(), 90.0 * 15625);
  const std::string text =
      "lr=0.03 optimizer=adamw augmentation=flip+crop; "
      "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|";
  const nas::Arch arch = space->parse(text);
  EXPECT_EQ(arch, (nas::Arch{3, 2, 3, 4, 2, 1, 2, 1, 1}));
  EXPECT_EQ(space->format(arch), text);
  const nas::TrainingChoices choices = space->training(arch);
  EXPECT_EQ(choices.lr, 0.03);
  EXPECT_EQ(choices.optimizer, "adamw");
  EXPECT_EQ(choices.augmentation, "flip+crop");
  EXPECT_EQ(space->neighbours(arch).size(), 24u + 5 + 2 + 4);
  nas::Arch other = arch;
  other[0] = 4;
  EXPECT_NE(space->key(arch), space->key(other));
  EXPECT_THROW(nas::find_space("dna+training"), Error);
}

// Whatever is drawn can be built.
TEST(Chain, EveryDrawBuilds) {
  for (const char* text : {"chain", "chain:layers=8,skips=1,halvings=4"}) {
    const auto space = nas::find_space(text);
    nas::Random random(3);
    for (int i = 0; i < 30; ++i) build_only(*space, space->sample(random), 28);
  }
}

}  // namespace
}  // namespace mixop::test
