// How an implementation is chosen: MIXOP_IMPL, wishes, the fixed preferences, in this order.
#include "kernels/core/impl.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <string>
#include <vector>

namespace mixop::kernels {
namespace {

void nothing(const Call&) {}
bool never(const Call&) { return false; }
bool wide(const Call& call) { return call.in[0].last() >= 64; }

// "library" takes even widths and is the default from 64 channels on; "broken" never accepts.
bool even(const Call& call) { return call.in[0].last() % 2 == 0; }
const Impl kList[] = {{.name = "broken", .accepts = never, .run = nothing},
                      {.name = "library", .accepts = even, .run = nothing, .prefers = wide},
                      {.name = "fast", .accepts = even, .run = nothing},
                      {.name = "plain", .accepts = any, .run = nothing}};

/// Sets MIXOP_IMPL for the life of the object.
struct Requested {
  explicit Requested(const char* value) { setenv("MIXOP_IMPL", value, 1); }
  ~Requested() { unsetenv("MIXOP_IMPL"); }
};

class Choose : public testing::Test {
 protected:
  void SetUp() override { unsetenv("MIXOP_IMPL"); }

  std::string name(int64_t channels, const Wish& wish = {}, const char* op = "conv2d") {
    return choose(op, kList, call(channels), wish).name;
  }
  /// What choose() throws, or "" when it chooses.
  std::string error(int64_t channels, const Wish& wish = {}) {
    try {
      name(channels, wish);
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  }
  Call call(int64_t channels) {
    in_[0] = {nullptr, DType::kF32, Shape{2, channels}, channels};
    return {nullptr, in_, {}, nullptr};
  }

 private:
  std::vector<View> in_ = std::vector<View>(1);
};

TEST_F(Choose, FirstThatAcceptsAndPrefers) {
  EXPECT_EQ(name(64), "library");
  EXPECT_EQ(name(32), "fast");
  EXPECT_EQ(name(65), "plain");
}

TEST_F(Choose, PreferencesAreAskedBeforeAccepts) {
  // accepts() of a library builds a plan; a call that it does not prefer must not pay for that.
  static int asked;
  asked = 0;
  const Impl list[] = {
      {.name = "library", .accepts = [](const Call&) { return ++asked > 0; }, .run = nothing, .prefers = never},
      {.name = "plain", .accepts = any, .run = nothing}};
  EXPECT_STREQ(choose("conv2d", list, call(64)).name, "plain");
  EXPECT_EQ(asked, 0);
}

TEST_F(Choose, WishBeatsPreferences) {
  EXPECT_EQ(name(64, {"plain"}), "plain");
  EXPECT_EQ(name(32, {"library", true}), "library") << "a wish needs acceptance, not preference";
}

TEST_F(Choose, WishThatCannotBeMetIsDroppedUnlessItMustBe) {
  EXPECT_EQ(name(65, {"library"}), "plain");
  EXPECT_EQ(name(64, {"elsewhere"}), "library");
  for (const char* wanted : {"broken", "elsewhere"}) {
    const std::string message = error(64, {wanted, true});
    EXPECT_NE(message.find(std::string("the run recorded conv2d:") + wanted), std::string::npos) << message;
    EXPECT_NE(message.find("(library, fast, plain)"), std::string::npos) << message;
    EXPECT_NE(message.find("MIXOP_IMPL"), std::string::npos) << message;
    EXPECT_EQ(message.find('\n'), std::string::npos) << message;
  }
}

TEST_F(Choose, EnvironmentBeatsWishes) {
  const Requested requested("pool:fast,conv2d:plain");
  EXPECT_EQ(name(64), "plain");
  EXPECT_EQ(name(64, {"library", true}), "plain");
  EXPECT_EQ(name(64, {}, "conv2d_dgrad"), "library") << "names are of whole ops";
  EXPECT_EQ(name(64, {}, "pool"), "fast");
}

TEST_F(Choose, EnvironmentNeedsNoPreference) {
  const Requested requested("conv2d:library");
  EXPECT_EQ(name(2), "library");
}

TEST_F(Choose, EnvironmentIsStrict) {
  {
    const Requested requested("conv2d:elsewhere");
    EXPECT_NE(error(64).find("MIXOP_IMPL asks for conv2d:elsewhere"), std::string::npos) << error(64);
  }
  const Requested requested("conv2d:library");
  EXPECT_NE(error(65).find("these do: plain"), std::string::npos) << error(65);
  EXPECT_NE(error(65, {"plain", true}), "");
}

TEST_F(Choose, EmptyListNamesTheOp) {
  try {
    choose("conv2d_wgrad", {}, call(16));
    FAIL();
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find("conv2d_wgrad has no implementation"), std::string::npos) << e.what();
  }
}

TEST_F(Choose, NothingAccepts) {
  const Impl list[] = {{.name = "broken", .accepts = never, .run = nothing}};
  EXPECT_THROW(choose("conv2d", list, call(16)), Error);
}

}  // namespace
}  // namespace mixop::kernels
