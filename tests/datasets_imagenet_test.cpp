// Resized crops and colour jitter against plain transcriptions of torchvision's RandomResizedCrop and ColorJitter.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "datasets/augment.h"
#include "datasets/loader.h"
#include "datasets/random.h"
#include "datasets/resized_crop.h"
#include "datasets/synthetic.h"
#include "tests/datasets_support.h"

namespace mixop::datasets::test {
namespace {

// Colours without a pattern, so that no mistake of place or channel goes unseen.
std::vector<uint8_t> noise(int h, int w, int c) {
  std::vector<uint8_t> pixels;
  for (int i = 0; i < h * w * c; ++i)
    pixels.push_back(static_cast<uint8_t>(uniform(5, static_cast<uint64_t>(i), 256)));
  return pixels;
}

TEST(ResizedCrop, BoxesAreTorchvisions) {
  const std::vector<std::pair<int, int>> sizes = {{37, 23}, {8, 8}, {5, 64}, {64, 5}, {256, 256}};
  for (const auto& [h, w] : sizes)
    for (uint64_t key = 0; key < 200; ++key) {
      Box want{-1, -1, -1, -1};
      for (uint64_t attempt = 0; attempt < 10 && want.top < 0; ++attempt) {
        const uint64_t at = 32 + 4 * attempt;
        const double target_area = h * w * (0.08 + 0.92 * uniform01(key, at));
        const double aspect = std::exp(std::log(0.75) + std::log(4.0 / 3 / 0.75) * uniform01(key, at + 1));
        const int cw = static_cast<int>(std::round(std::sqrt(target_area * aspect)));
        const int ch = static_cast<int>(std::round(std::sqrt(target_area / aspect)));
        if (0 < cw && cw <= w && 0 < ch && ch <= h)
          want = {static_cast<int>(uniform(key, at + 2, h - ch + 1)),
                  static_cast<int>(uniform(key, at + 3, w - cw + 1)), ch, cw};
      }
      if (want.top < 0) {
        const double ratio = static_cast<double>(w) / h;
        int cw = w, ch = h;
        if (ratio < 0.75) ch = static_cast<int>(std::round(cw / 0.75));
        else if (ratio > 4.0 / 3) cw = static_cast<int>(std::round(ch * 4.0 / 3));
        want = {(h - ch) / 2, (w - cw) / 2, ch, cw};
      }
      const Box box = draw_box(h, w, key);
      ASSERT_EQ(box.top, want.top) << h << "x" << w << " key " << key;
      ASSERT_EQ(box.left, want.left) << key;
      ASSERT_EQ(box.height, want.height) << key;
      ASSERT_EQ(box.width, want.width) << key;
      ASSERT_TRUE(box.top >= 0 && box.left >= 0 && box.top + box.height <= h && box.left + box.width <= w) << key;
    }
}

TEST(ResizedCrop, AreasAndRatiosFillTheirRanges) {
  double least = 1, most = 0, mean = 0, flat = 1, tall = 1;
  constexpr int kDraws = 2000;
  for (uint64_t key = 0; key < kDraws; ++key) {
    const Box b = draw_box(200, 200, key);
    const double area = b.height * b.width / 40000.0, ratio = static_cast<double>(b.width) / b.height;
    least = std::min(least, area), most = std::max(most, area), mean += area / kDraws;
    flat = std::max(flat, ratio), tall = std::min(tall, ratio);
  }
  EXPECT_NEAR(least, 0.08, 0.01);
  EXPECT_GT(most, 0.95);
  EXPECT_GT(mean, 0.47);  // 0.54 but for large flat boxes that do not fit
  EXPECT_LT(mean, 0.55);
  EXPECT_NEAR(flat, 4.0 / 3, 0.03);
  EXPECT_NEAR(tall, 3.0 / 4, 0.03);
}

// Every pixel of the result as a weighted mean over the whole box, in float64.
double resampled(const std::vector<uint8_t>& image, int w, int c, const Box& box, int height, int width, int y,
                 int x, int k) {
  const auto weight = [](int in, int out, int o, int i) {
    const double scale = static_cast<double>(in) / out, radius = std::max(1.0, scale);
    return std::max(0.0, 1 - std::abs(i + 0.5 - (o + 0.5) * scale) / radius);
  };
  double sum = 0, weights = 0;
  for (int i = 0; i < box.height; ++i)
    for (int j = 0; j < box.width; ++j) {
      const double v = weight(box.height, height, y, i) * weight(box.width, width, x, j);
      sum += v * image[((box.top + i) * w + box.left + j) * c + k];
      weights += v;
    }
  return sum / weights;
}

TEST(ResizedCrop, ImagesAreTheBoxResampledMirroredAndNormalised) {
  constexpr int kH = 21, kW = 30, kC = 3, kSide = 12;
  const std::vector<uint8_t> image = noise(kH, kW, kC);
  Augment augment;
  augment.height = augment.width = kSide;
  augment.resized_crop = augment.flip = true;
  augment.mean = {0.25f, 0.5f, 0.125f};
  augment.std = {0.5f, 2.0f, 1.0f};
  std::set<int> mirrored;
  for (uint64_t key = 0; key < 12; ++key) {
    std::vector<float> out(kSide * kSide * kC, NAN);
    apply(augment, image.data(), kH, kW, kC, key, out.data());
    const Box box = draw_box(kH, kW, key);
    const bool flip = draw(augment, kSide, kSide, key)[2] == 1;
    mirrored.insert(flip);
    for (int y = 0; y < kSide; ++y)
      for (int x = 0; x < kSide; ++x)
        for (int k = 0; k < kC; ++k) {
          const double want = resampled(image, kW, kC, box, kSide, kSide, y, flip ? kSide - 1 - x : x, k);
          const double got = (out[(y * kSide + x) * kC + k] * augment.std[k] + augment.mean[k]) * 255;
          ASSERT_NEAR(got, want, 0.51) << key << " " << y << " " << x << " " << k;  // rounded to a byte
        }
  }
  EXPECT_EQ(mirrored.size(), 2u);
}

TEST(ResizedCrop, TestsTakeTheMiddleOfEightSevenths) {
  // 16x32 to 7x7: covered by 8x16, of which rows 0..6 and columns 4..10.
  constexpr int kH = 16, kW = 32;
  const std::vector<uint8_t> image = noise(kH, kW, 1);
  Augment augment;
  augment.height = augment.width = 7;
  std::vector<float> out(49);
  apply(augment, image.data(), kH, kW, 1, 3, out.data());
  for (int y = 0; y < 7; ++y)
    for (int x = 0; x < 7; ++x)
      ASSERT_NEAR(out[y * 7 + x] * 255, resampled(image, kW, 1, {0, 0, kH, kW}, 8, 16, y, 4 + x, 0), 0.51)
          << y << x;
  // 256 to 224 needs no resampling: the middle as it is.
  const std::vector<uint8_t> large = noise(256, 256, 1);
  augment.height = augment.width = 224;
  std::vector<float> middle(224 * 224);
  apply(augment, large.data(), 256, 256, 1, 3, middle.data());
  for (int y = 0; y < 224; ++y)
    for (int x = 0; x < 224; ++x) ASSERT_EQ(middle[y * 224 + x], large[(y + 16) * 256 + x + 16] / 255.0f);
}

// ColorJitter in float64, with the textbook's conversions to HSV and back.
void turn(std::array<double, 3>& p, double by) {
  const double v = std::max({p[0], p[1], p[2]}), low = std::min({p[0], p[1], p[2]});
  if (v == low) return;
  const double s = (v - low) / v, r = (v - p[0]) / (v - low), g = (v - p[1]) / (v - low),
               b = (v - p[2]) / (v - low);
  double h = p[0] == v ? b - g : p[1] == v ? 2 + r - b : 4 + g - r;
  h = h / 6 + by;
  h -= std::floor(h);
  const int i = static_cast<int>(h * 6);
  const double f = h * 6 - i, P = v * (1 - s), Q = v * (1 - s * f), T = v * (1 - s * (1 - f));
  const std::array<double, 3> table[] = {{v, T, P}, {Q, v, P}, {P, v, T}, {P, Q, v}, {T, P, v}, {v, P, Q}};
  p = table[i % 6];
}

void jitter(std::vector<std::array<double, 3>>& pixels, const ColourDraw& d) {
  const auto grey = [](const std::array<double, 3>& p) { return 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2]; };
  for (const ColourDraw::Step step : d.order) {
    const double f = d.amount[step];
    double mean = 0;
    for (const auto& p : pixels) mean += grey(p) / static_cast<double>(pixels.size());
    for (auto& p : pixels) {
      const double g = grey(p);
      if (step == ColourDraw::kHue) turn(p, f);
      else
        for (double& v : p) {
          const double other = step == ColourDraw::kBrightness ? 0 : step == ColourDraw::kContrast ? mean : g;
          v = std::clamp(f * v + (1 - f) * other, 0.0, 1.0);
        }
    }
  }
}

TEST(ColourJitter, AgainstTheTextbook) {
  constexpr int kSide = 9;
  const std::vector<uint8_t> image = noise(kSide, kSide, 3);
  Augment augment;
  augment.jitter = {0.4, 0.4, 0.4, 0.2};
  std::set<std::array<ColourDraw::Step, 4>> orders;
  for (uint64_t key = 0; key < 200; ++key) {
    const ColourDraw d = draw(augment.jitter, key);
    orders.insert(d.order);
    EXPECT_EQ(std::set<ColourDraw::Step>(d.order.begin(), d.order.end()).size(), 4u);
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(d.amount[i] >= 0.6f && d.amount[i] <= 1.4f) << d.amount[i];
    EXPECT_LE(std::abs(d.amount[3]), 0.2f);
    std::vector<float> out(image.size());
    apply(augment, image.data(), kSide, kSide, 3, key, out.data());
    std::vector<std::array<double, 3>> want;
    for (size_t i = 0; i < image.size(); i += 3)
      want.push_back({image[i] / 255.0, image[i + 1] / 255.0, image[i + 2] / 255.0});
    jitter(want, d);
    for (size_t i = 0; i < out.size(); ++i) ASSERT_NEAR(out[i], want[i / 3][i % 3], 2e-5) << key << " " << i;
  }
  EXPECT_EQ(orders.size(), 24u);
}

TEST(ColourJitter, GreyImagesHaveBrightnessAndContrastAlone) {
  const std::vector<uint8_t> image = noise(4, 4, 1);
  Augment augment, same;
  augment.jitter = {0, 0, 0.4, 0.2};
  std::vector<float> out(16), plain(16);
  apply(augment, image.data(), 4, 4, 1, 1, out.data());
  apply(same, image.data(), 4, 4, 1, 1, plain.data());
  EXPECT_EQ(out, plain);
  augment.jitter.brightness = 0.4;
  apply(augment, image.data(), 4, 4, 1, 1, out.data());
  const float f = draw(augment.jitter, 1).amount[ColourDraw::kBrightness];
  for (size_t i = 0; i < 16; ++i) EXPECT_FLOAT_EQ(out[i], std::min(1.0f, f * plain[i]));
}

TEST(ColourJitter, LeavesTheOtherChoicesAsTheyWere) {
  const std::vector<uint8_t> image = noise(12, 12, 3);
  Augment plain, coloured;
  plain.crop = plain.flip = true;
  plain.cutout = 4;
  coloured = plain;
  coloured.jitter.brightness = 1e-9;  // factors of 1 in float32
  for (uint64_t key = 0; key < 20; ++key) {
    std::vector<float> a(432), b(432);
    apply(plain, image.data(), 12, 12, 3, key, a.data());
    apply(coloured, image.data(), 12, 12, 3, key, b.data());
    EXPECT_EQ(a, b) << key;
  }
}

TEST(ImagenetLoader, BatchesHaveTheNewSizeAndDependOnSeedEpochAndImageAlone) {
  const Dataset data = synthetic(10, 16, 20, 3, 2, 1);
  Augment augment;
  augment.height = augment.width = 8;
  augment.resized_crop = augment.flip = true;
  augment.jitter = {0.4, 0.4, 0.4, 0.2};
  std::vector<int64_t> indices = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9};
  Loader all(data, indices, 4, augment, Order::kShuffle, 3), late(data, indices, 4, augment, Order::kShuffle, 3, 1);
  std::vector<std::vector<float>> batches;
  for (int i = 0; i < 6; ++i) batches.push_back(all.next().images);
  EXPECT_EQ(batches[0].size(), 4u * 8 * 8 * 3);
  EXPECT_EQ(batches[2].size(), 2u * 8 * 8 * 3);
  EXPECT_NE(batches[0], batches[3]);
  late.seek({1, 1});
  EXPECT_EQ(late.next().images, batches[4]);
}

TEST(ImagenetLoader, BadInput) {
  const Dataset data = synthetic(4, 8, 8, 3, 2, 1);
  Augment augment;
  augment.jitter.hue = 0.6;
  expect_error([&] { check(augment, 3); }, {"0..0.5"});
  augment.jitter = {1.5, 0, 0, 0};
  expect_error([&] { check(augment, 3); }, {"outside 0..1"});
  augment.jitter = {};
  augment.height = 8;
  expect_error([&] { check(augment, 3); }, {"8x0"});
  augment.width = 8;
  expect_error([&] { Loader(data, {0, 1}, 2, augment, Order::kShuffle, 0, 3, Content::kDraws); }, {"draws"});
}

}  // namespace
}  // namespace mixop::datasets::test
