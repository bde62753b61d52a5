// Random changes of brightness, contrast, saturation and hue, in random order: ColorJitter of torchvision, which
// the ImageNet recipe of DARTS uses.
#pragma once

#include <array>
#include <cstdint>

namespace mixop::datasets {

// Half-widths: brightness, contrast and saturation are multiplied by a factor uniform in [max(0, 1 - w), 1 + w],
// the hue is turned by a share of the circle uniform in [-w, w]; 0: left alone.
struct ColourJitter {
  double brightness = 0, contrast = 0, saturation = 0, hue = 0;
  bool any() const { return brightness > 0 || contrast > 0 || saturation > 0 || hue > 0; }
};

// Throws Error unless the first three are in [0, 1] and hue is in [0, 0.5].
void check(const ColourJitter& jitter);

// The random choices for one image.
struct ColourDraw {
  enum Step : uint8_t { kBrightness, kContrast, kSaturation, kHue };
  std::array<Step, 4> order{kBrightness, kContrast, kSaturation, kHue};
  std::array<float, 4> amount{1, 1, 1, 0};  // by Step
  std::array<bool, 4> on{};                 // by Step
};
ColourDraw draw(const ColourJitter& jitter, uint64_t key);

// Changes pixels [n, c], values in [0, 1], in place; c is 1 or 3 (R, G, B). With v the value and f the factor,
// clamped to [0, 1]: brightness f v; contrast f v + (1 - f) m, m the image's mean grey; saturation f v + (1 - f) g,
// g the pixel's grey = 0.299 R + 0.587 G + 0.114 B; hue in HSV. Grey images have neither saturation nor hue.
void apply(const ColourDraw& draw, float* pixels, int64_t n, int c);

}  // namespace mixop::datasets
