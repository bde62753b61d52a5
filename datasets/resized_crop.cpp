#include "datasets/resized_crop.h"

#include <algorithm>
#include <cmath>
#include <vector>

#include "datasets/random.h"

namespace mixop::datasets {
namespace {

constexpr double kLeastArea = 0.08, kLeastRatio = 3.0 / 4, kMostRatio = 4.0 / 3;
constexpr int kAttempts = 10;
// Choices of an image: 0..4 are those of augment.cpp, 16.. those of colour_jitter.cpp; the attempts come behind.
constexpr uint64_t kFirstChoice = 32, kChoicesOfAttempt = 4;

Box middle(int h, int w, int height, int width) { return {(h - height) / 2, (w - width) / 2, height, width}; }

}  // namespace

Box draw_box(int h, int w, uint64_t key) {
  const double area = static_cast<double>(h) * w;
  for (int i = 0; i < kAttempts; ++i) {
    const uint64_t choice = kFirstChoice + kChoicesOfAttempt * static_cast<uint64_t>(i);
    const double part = area * (kLeastArea + (1 - kLeastArea) * uniform01(key, choice));
    const double low = std::log(kLeastRatio), high = std::log(kMostRatio);
    const double ratio = std::exp(low + (high - low) * uniform01(key, choice + 1));
    const auto width = static_cast<int>(std::lround(std::sqrt(part * ratio)));
    const auto height = static_cast<int>(std::lround(std::sqrt(part / ratio)));
    if (width < 1 || width > w || height < 1 || height > h) continue;
    return {static_cast<int>(uniform(key, choice + 2, static_cast<uint64_t>(h - height + 1))),
            static_cast<int>(uniform(key, choice + 3, static_cast<uint64_t>(w - width + 1))), height, width};
  }
  const double ratio = static_cast<double>(w) / h;
  if (ratio < kLeastRatio) return middle(h, w, std::min(h, static_cast<int>(std::lround(w / kLeastRatio))), w);
  if (ratio > kMostRatio) return middle(h, w, h, std::min(w, static_cast<int>(std::lround(h * kMostRatio))));
  return {0, 0, h, w};
}

Image resized_box(const uint8_t* image, int w, int c, const Box& box, int height, int width) {
  Image part{box.height, box.width, c, {}};
  part.pixels.reserve(size_t{1} * box.height * box.width * c);
  for (int y = box.top; y < box.top + box.height; ++y) {
    const uint8_t* row = image + (int64_t{y} * w + box.left) * c;
    part.pixels.insert(part.pixels.end(), row, row + int64_t{box.width} * c);
  }
  return box.height == height && box.width == width ? part : resize_bilinear(part, height, width);
}

Image resized_middle(const uint8_t* image, int h, int w, int c, int height, int width) {
  const double scale = 8.0 / 7 * std::max(static_cast<double>(height) / h, static_cast<double>(width) / w);
  const int covered_h = std::max(height, static_cast<int>(std::lround(h * scale)));
  const int covered_w = std::max(width, static_cast<int>(std::lround(w * scale)));
  const Image covering = resized_box(image, w, c, {0, 0, h, w}, covered_h, covered_w);
  return resized_box(covering.pixels.data(), covered_w, c, middle(covered_h, covered_w, height, width), height,
                     width);
}

}  // namespace mixop::datasets
