#include "datasets/synthetic.h"

#include <algorithm>

#include "datasets/random.h"

namespace mixop::datasets {
namespace {

constexpr int kGrid = 4;  // a pattern is a kGrid x kGrid torus of random levels, interpolated to the image size
constexpr uint64_t kPatternKey = 0x6d69786f70;

// One axis of the interpolation: pixel i lies `part`/256 of the way from grid line `low` to `high`.
struct Step {
  int low, high, part;
};
Step step(int i, int size) {
  const int64_t position = int64_t{i} * kGrid * 256 / size;
  const int low = static_cast<int>(position / 256);
  return {low, (low + 1) % kGrid, static_cast<int>(position % 256)};
}

// [classes, height, width, channels], levels -100..100.
std::vector<int> class_patterns(int classes, int height, int width, int channels) {
  std::vector<int> patterns(size_t{1} * classes * height * width * channels);
  size_t next = 0;
  for (int k = 0; k < classes; ++k)
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x)
        for (int c = 0; c < channels; ++c) {
          const uint64_t key = mix(kPatternKey, k, c);
          const auto level = [&](int row, int column) {
            return static_cast<int>(uniform(key, row * kGrid + column, 201)) - 100;
          };
          const Step v = step(y, height), h = step(x, width);
          const int top = level(v.low, h.low) * (256 - h.part) + level(v.low, h.high) * h.part;
          const int bottom = level(v.high, h.low) * (256 - h.part) + level(v.high, h.high) * h.part;
          patterns[next++] = (top * (256 - v.part) + bottom * v.part) / (256 * 256);
        }
  return patterns;
}

// Four bytes summed: bell-shaped noise of mean 0 and standard deviation 148.
int noise(uint32_t bits) {
  return static_cast<int>((bits & 255) + (bits >> 8 & 255) + (bits >> 16 & 255) + (bits >> 24)) - 510;
}

}  // namespace

Dataset synthetic(int64_t n, int height, int width, int channels, int classes, uint64_t seed) {
  if (n < 1 || n > (int64_t{1} << 32) || height < 1 || height > 4096 || width < 1 || width > 4096 || channels < 1 ||
      channels > 64 || classes < 1 || classes > 1000)
    fail("synthetic: cannot make ", n, " images of ", height, "x", width, "x", channels, " in ", classes,
         " classes; sizes start at 1, sides end at 4096, channels at 64, classes at 1000");
  Dataset data;
  data.name = "synthetic";
  data.height = height;
  data.width = width;
  data.channels = channels;
  data.classes = classes;
  data.class_names = numbered_names(classes);
  if (std::max(n, int64_t{4} * classes) * data.image_size() > int64_t{1} << 32)
    fail("synthetic: ", n, " images of ", height, "x", width, "x", channels, " in ", classes,
         " classes take more than 4 GiB");

  const std::vector<int> patterns = class_patterns(classes, height, width, channels);
  data.pixels.resize(static_cast<size_t>(n * data.image_size()));
  size_t next = 0;
  for (int64_t i = 0; i < n; ++i) {
    const int label = static_cast<int>(i % classes);
    data.labels.push_back(label);
    const uint64_t key = mix(seed, static_cast<uint64_t>(i));
    const int shift_y = static_cast<int>(uniform(key, 0, 2 * (height / 8) + 1)) + height - height / 8;
    const int shift_x = static_cast<int>(uniform(key, 1, 2 * (width / 8) + 1)) + width - width / 8;
    const int contrast = 64 + static_cast<int>(uniform(key, 2, 193));  // 1/4 to 1, in 1/256
    const int* pattern = patterns.data() + label * data.image_size();
    for (int y = 0; y < height; ++y)
      for (int x = 0; x < width; ++x) {
        const int* at = pattern + (int64_t{(y + shift_y) % height} * width + (x + shift_x) % width) * channels;
        for (int c = 0; c < channels; ++c) {
          const uint64_t bits = splitmix64(key + 3 + next % static_cast<size_t>(data.image_size()));
          const int value = 128 + at[c] * contrast / 256 + noise(static_cast<uint32_t>(bits)) / 4;
          data.pixels[next++] = static_cast<uint8_t>(std::clamp(value, 0, 255));
        }
      }
  }
  return data;
}

}  // namespace mixop::datasets
