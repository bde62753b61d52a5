#include "datasets/augment.h"

#include <algorithm>
#include <cmath>

#include "datasets/random.h"
#include "datasets/resized_crop.h"

namespace mixop::datasets {
namespace {

enum Choice : uint64_t { kCropY, kCropX, kFlip, kCutoutY, kCutoutX };  // each has its own random number

constexpr int kMaxPixels = 4096;

int choose(uint64_t key, Choice which, int n) {
  return static_cast<int>(uniform(key, which, static_cast<uint64_t>(n)));
}

// The one place where a pixel value becomes a number, so that all ways to it give the same bits.
float normalised(const Augment& augment, float value, int channel) {
  return augment.mean.empty() ? value : (value - augment.mean[channel]) / augment.std[channel];
}
float normalised(const Augment& augment, uint8_t pixel, int channel) {
  return normalised(augment, static_cast<float>(pixel) / 255.0f, channel);
}

// The part of the image that an image of the right size is made of, at that size.
Image resized(const Augment& augment, const uint8_t* image, int h, int w, int c, uint64_t key) {
  const int height = augment.out_height(h), width = augment.out_width(w);
  if (augment.resized_crop) return resized_box(image, w, c, draw_box(h, w, key), height, width);
  return resized_middle(image, h, w, c, height, width);
}

// An image of the right size: cut out, mirrored, coloured, normalised, with a hole.
void place(const Augment& augment, const uint8_t* image, int h, int w, int c, uint64_t key, float* out) {
  const bool coloured = augment.jitter.any();
  const auto [dy, dx, flip, y1, y2, x1, x2] = draw(augment, h, w, key);
  for (int y = 0; y < h; ++y)
    for (int x = 0; x < w; ++x) {
      const int from_y = y + dy, from_x = (flip ? w - 1 - x : x) + dx;
      const bool inside = from_y >= 0 && from_y < h && from_x >= 0 && from_x < w;
      const uint8_t* pixel = inside ? image + (int64_t{from_y} * w + from_x) * c : nullptr;
      float* target = out + (int64_t{y} * w + x) * c;
      for (int k = 0; k < c; ++k) {
        const uint8_t value = pixel ? pixel[k] : 0;
        target[k] = coloured ? static_cast<float>(value) / 255.0f : normalised(augment, value, k);
      }
    }
  if (coloured) {
    apply(draw(augment.jitter, key), out, int64_t{h} * w, c);
    for (int64_t i = 0; i < int64_t{h} * w * c; ++i) out[i] = normalised(augment, out[i], static_cast<int>(i % c));
  }
  for (int y = y1; y < y2; ++y) std::fill(out + (int64_t{y} * w + x1) * c, out + (int64_t{y} * w + x2) * c, 0.0f);
}

}  // namespace

Augment normalisation_of(const Dataset& data) {
  const ChannelStatistics statistics = channel_statistics(data);
  Augment augment;
  augment.mean.assign(statistics.mean.begin(), statistics.mean.end());
  augment.std.assign(statistics.std.begin(), statistics.std.end());
  for (size_t c = 0; c < augment.std.size(); ++c)
    if (augment.std[c] == 0)
      fail("data set '", data.name, "': channel ", c, " is constant and cannot be normalised");
  return augment;
}

void check(const Augment& augment, int channels) {
  const size_t n = augment.mean.size();
  if (n != augment.std.size() || (n != 0 && n != static_cast<size_t>(channels)))
    fail("augment: ", n, " means and ", augment.std.size(), " standard deviations for ", channels,
         " channels; give one each, or none at all");
  for (size_t i = 0; i < n; ++i)
    if (!std::isfinite(augment.mean[i]) || !std::isfinite(augment.std[i]) || augment.std[i] <= 0)
      fail("augment: channel ", i, " has mean ", augment.mean[i], " and standard deviation ", augment.std[i],
           "; the mean must be finite and the deviation > 0");
  if (augment.pad < 0 || augment.pad > kMaxPixels)
    fail("augment: pad ", augment.pad, " is outside 0..", kMaxPixels);
  if (augment.cutout < 0 || augment.cutout > kMaxPixels)
    fail("augment: cutout ", augment.cutout, " is outside 0..", kMaxPixels);
  const bool sized = augment.height != 0 || augment.width != 0;
  if (sized &&
      (augment.height < 1 || augment.height > kMaxPixels || augment.width < 1 || augment.width > kMaxPixels))
    fail("augment: images of ", augment.height, "x", augment.width, "; both sides must be in 1..", kMaxPixels);
  check(augment.jitter);
}

Draw draw(const Augment& augment, int h, int w, uint64_t key) {
  const int dy = augment.crop ? choose(key, kCropY, 2 * augment.pad + 1) - augment.pad : 0;
  const int dx = augment.crop ? choose(key, kCropX, 2 * augment.pad + 1) - augment.pad : 0;
  const bool flip = augment.flip && choose(key, kFlip, 2) == 1;
  if (augment.cutout == 0) return {dy, dx, flip, 0, 0, 0, 0};
  const int cy = choose(key, kCutoutY, h), cx = choose(key, kCutoutX, w), half = augment.cutout / 2;
  const int y1 = std::max(0, cy - half), y2 = std::min(h, cy + half);
  const int x1 = std::max(0, cx - half), x2 = std::min(w, cx + half);
  return {dy, dx, flip, y1, y2, x1, x2};
}

std::vector<float> normalisation_table(const Augment& augment, int channels) {
  check(augment, channels);
  std::vector<float> table;
  for (int c = 0; c < channels; ++c)
    for (int pixel = 0; pixel < 256; ++pixel) table.push_back(normalised(augment, static_cast<uint8_t>(pixel), c));
  return table;
}

void apply(const Augment& augment, const uint8_t* image, int h, int w, int c, uint64_t key, float* out) {
  check(augment, c);
  if (augment.height == 0 && !augment.resized_crop) return place(augment, image, h, w, c, key, out);
  const Image same = resized(augment, image, h, w, c, key);
  place(augment, same.pixels.data(), same.height, same.width, c, key, out);
}

}  // namespace mixop::datasets
