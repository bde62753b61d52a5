#include "datasets/augment.h"

#include <cmath>
#include <cstring>
#include <limits>
#include <set>

#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

constexpr int kH = 10, kW = 12, kC = 2;

// Every pixel of channel 0 is distinct and none is black; channel 1 is 255 minus it.
Bytes numbered() {
  Bytes pixels;
  for (int i = 0; i < kH * kW; ++i) {
    pixels.push_back(static_cast<uint8_t>(i + 1));
    pixels.push_back(static_cast<uint8_t>(254 - i));
  }
  return pixels;
}

std::vector<float> run(const Augment& augment, uint64_t key) {
  const Bytes image = numbered();
  std::vector<float> out(kH * kW * kC, std::numeric_limits<float>::quiet_NaN());
  apply(augment, image.data(), kH, kW, kC, key, out.data());
  return out;
}

// The image shifted and mirrored by hand.
std::vector<float> expected(int dy, int dx, bool flip) {
  const Bytes image = numbered();
  std::vector<float> out;
  for (int y = 0; y < kH; ++y)
    for (int x = 0; x < kW; ++x)
      for (int c = 0; c < kC; ++c) {
        const int sy = y + dy, sx = (flip ? kW - 1 - x : x) + dx;
        const bool inside = sy >= 0 && sy < kH && sx >= 0 && sx < kW;
        out.push_back(inside ? image[(sy * kW + sx) * kC + c] / 255.0f : 0.0f);
      }
  return out;
}

TEST(Augment, PlainIsDivisionBy255) {
  EXPECT_EQ(run({}, 1), expected(0, 0, false));
  EXPECT_EQ(run({}, 2), run({}, 1));
}

TEST(Augment, NormalisesPerChannelAndPadsBlackBeforeIt) {
  Augment augment;
  augment.mean = {0.25f, 0.5f};
  augment.std = {0.5f, 2.0f};
  const std::vector<float> plain = expected(0, 0, false), out = run(augment, 1);
  for (size_t i = 0; i < out.size(); ++i) EXPECT_EQ(out[i], (plain[i] - augment.mean[i % 2]) / augment.std[i % 2]);
  augment.crop = true;
  augment.pad = 40;  // most offsets leave the image, so padding is certain to be seen
  int black = 0;
  for (uint64_t key = 0; key < 20; ++key) {
    const std::vector<float> cropped = run(augment, key);
    for (size_t i = 0; i < cropped.size(); i += 2) black += cropped[i] == -0.5f && cropped[i + 1] == -0.25f;
  }
  EXPECT_GT(black, 100);
}

TEST(Augment, CropTakesEveryOffsetEquallyOften) {
  Augment augment;
  augment.crop = true;
  augment.pad = 2;
  std::vector<int> counts(25);
  for (uint64_t key = 0; key < 5000; ++key) {
    const std::vector<float> out = run(augment, key);
    int found = -1;
    for (int o = 0; o < 25 && found < 0; ++o)
      if (out == expected(o / 5 - 2, o % 5 - 2, false)) found = o;
    ASSERT_GE(found, 0) << "no crop at all, key " << key;
    ++counts[found];
  }
  for (int count : counts) EXPECT_NEAR(count, 200, 70);  // 5 standard deviations
}

TEST(Augment, FlipsHalfOfTheImages) {
  Augment augment;
  augment.flip = true;
  int flipped = 0;
  for (uint64_t key = 0; key < 4000; ++key) {
    const std::vector<float> out = run(augment, key);
    flipped += out == expected(0, 0, true);
    ASSERT_TRUE(out == expected(0, 0, true) || out == expected(0, 0, false));
  }
  EXPECT_NEAR(flipped, 2000, 160);
}

TEST(Augment, CutoutErasesAClippedSquareAroundAnyPixel) {
  Augment augment;
  augment.cutout = 4;
  augment.mean = {0, 0};
  augment.std = {1, 1};
  std::set<std::vector<int>> squares;
  for (uint64_t key = 0; key < 3000; ++key) {
    const std::vector<float> out = run(augment, key), plain = expected(0, 0, false);
    int top = kH, bottom = -1, left = kW, right = -1, erased = 0;
    for (int i = 0; i < kH * kW; ++i) {
      ASSERT_EQ(out[2 * i] == 0, out[2 * i + 1] == 0);
      if (out[2 * i] != 0) {
        ASSERT_EQ(out[2 * i], plain[2 * i]);
        continue;
      }
      top = std::min(top, i / kW), bottom = std::max(bottom, i / kW);
      left = std::min(left, i % kW), right = std::max(right, i % kW);
      ++erased;
    }
    ASSERT_EQ(erased, (bottom - top + 1) * (right - left + 1)) << "not a rectangle";
    squares.insert({top, bottom, left, right});
  }
  std::set<std::vector<int>> want;
  for (int y = 0; y < kH; ++y)
    for (int x = 0; x < kW; ++x)
      want.insert({std::max(0, y - 2), std::min(kH, y + 2) - 1, std::max(0, x - 2), std::min(kW, x + 2) - 1});
  EXPECT_EQ(squares, want);
}

TEST(Augment, CutoutIsZeroAfterNormalisation) {
  Augment augment;
  augment.cutout = 100;
  augment.mean = {0.7f, 0.7f};
  augment.std = {0.1f, 0.1f};
  for (float v : run(augment, 9)) EXPECT_EQ(v, 0.0f);
}

TEST(Augment, StepsDrawIndependently) {
  Augment both, crop, flip;
  both.crop = crop.crop = true;
  both.flip = flip.flip = true;
  for (uint64_t key = 0; key < 50; ++key) {
    const bool flipped = run(flip, key) == expected(0, 0, true);
    std::vector<float> want = run(crop, key);
    if (flipped)
      for (int y = 0; y < kH; ++y)
        for (int x = 0; x < kW / 2; ++x)
          for (int c = 0; c < kC; ++c) std::swap(want[(y * kW + x) * kC + c], want[(y * kW + kW - 1 - x) * kC + c]);
    EXPECT_EQ(run(both, key), want) << key;
  }
}

TEST(Augment, DrawAndTableReproduceItBitForBit) {
  const Bytes image = numbered();
  for (int setting = 0; setting < 32; ++setting) {
    Augment augment;
    augment.crop = setting & 1;
    augment.pad = setting & 2 ? 3 : 40;
    augment.flip = setting & 4;
    augment.cutout = setting & 8 ? 5 : 0;
    if (setting & 16) augment.mean = {0.4914f, 0.3f}, augment.std = {0.2023f, 0.7f};
    const std::vector<float> table = normalisation_table(augment, kC);
    ASSERT_EQ(table.size(), size_t{kC} * 256);
    for (uint64_t key = 0; key < 100; ++key) {
      const auto [dy, dx, flip, y1, y2, x1, x2] = draw(augment, kH, kW, key);
      ASSERT_TRUE(0 <= y1 && y1 <= y2 && y2 <= kH && 0 <= x1 && x1 <= x2 && x2 <= kW);
      std::vector<float> out;
      for (int y = 0; y < kH; ++y)
        for (int x = 0; x < kW; ++x)
          for (int c = 0; c < kC; ++c) {
            const int sy = y + dy, sx = (flip ? kW - 1 - x : x) + dx;
            const bool inside = sy >= 0 && sy < kH && sx >= 0 && sx < kW;
            const bool erased = y1 <= y && y < y2 && x1 <= x && x < x2;
            out.push_back(erased ? 0.0f : table[c * 256 + (inside ? image[(sy * kW + sx) * kC + c] : 0)]);
          }
      ASSERT_EQ(0, std::memcmp(out.data(), run(augment, key).data(), out.size() * sizeof(float)))
          << "setting " << setting << ", key " << key;
    }
  }
}

TEST(Augment, RefusesBadSettings) {
  const auto refuses = [](auto change, std::vector<std::string> parts) {
    Augment augment;
    augment.mean = augment.std = {0.5f, 0.5f};
    change(augment);
    expect_error([&] { run(augment, 1); }, parts);
  };
  refuses([](Augment& a) { a.mean.pop_back(); }, {"1 means and 2 standard deviations for 2 channels"});
  refuses([](Augment& a) { a.mean = a.std = {1.0f}; }, {"for 2 channels"});
  refuses([](Augment& a) { a.std[1] = 0; }, {"channel 1", "> 0"});
  refuses([](Augment& a) { a.mean[0] = std::nanf(""); }, {"channel 0"});
  refuses([](Augment& a) { a.pad = -1; }, {"pad -1"});
  refuses([](Augment& a) { a.cutout = -1; }, {"cutout -1"});
  Augment three;
  three.mean = three.std = {1, 1, 1};
  expect_error([&] { normalisation_table(three, 2); }, {"3 means", "2 channels"});
}

TEST(Augment, NormalisationOfADataSet) {
  Dataset data;
  data.name = "pair";
  data.height = data.width = data.channels = data.classes = 1;
  data.pixels = {0, 255};
  data.labels = {0, 0};
  data.class_names = {"one"};
  const Augment augment = normalisation_of(data);
  EXPECT_EQ(augment.mean, std::vector<float>{0.5f});
  EXPECT_EQ(augment.std, std::vector<float>{0.5f});
  EXPECT_FALSE(augment.crop || augment.flip || augment.cutout);
  data.pixels = {7, 7};
  expect_error([&] { normalisation_of(data); }, {"'pair'", "channel 0 is constant"});
}

}  // namespace
}  // namespace mixop::datasets::test
