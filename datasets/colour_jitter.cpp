#include "datasets/colour_jitter.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "datasets/dataset.h"
#include "datasets/random.h"

namespace mixop::datasets {
namespace {

// Each choice has its own random number; 0..15 belong to the choices of where pixels come from (augment.cpp,
// resized_crop.cpp).
enum Choice : uint64_t { kAmounts = 16, kOrder = 20 };

float grey(const float* p, int c) { return c == 1 ? p[0] : 0.299f * p[0] + 0.587f * p[1] + 0.114f * p[2]; }

float clamp01(float v) { return std::clamp(v, 0.0f, 1.0f); }

void turn_hue(float* p, float by) {
  const float most = std::max({p[0], p[1], p[2]}), least = std::min({p[0], p[1], p[2]}), chroma = most - least;
  if (chroma <= 0) return;
  float sector;  // of the colour circle, in [-1, 5)
  if (most == p[0]) sector = (p[1] - p[2]) / chroma;
  else if (most == p[1]) sector = 2 + (p[2] - p[0]) / chroma;
  else sector = 4 + (p[0] - p[1]) / chroma;
  float hue = sector / 6 + by;
  hue -= std::floor(hue);
  // A channel is `most`, `least` or on the slope between, by its distance from the hue.
  const auto channel = [&](float offset) {
    const float k = std::fmod(offset + 6 * hue, 6.0f);
    return most - chroma * std::clamp(std::min(k, 4 - k), 0.0f, 1.0f);
  };
  p[0] = channel(5);
  p[1] = channel(3);
  p[2] = channel(1);
}

}  // namespace

void check(const ColourJitter& j) {
  for (const double width : {j.brightness, j.contrast, j.saturation})
    if (!(width >= 0 && width <= 1)) fail("colour jitter ", width, " is outside 0..1");
  if (!(j.hue >= 0 && j.hue <= 0.5)) fail("colour jitter of the hue: ", j.hue, " is outside 0..0.5");
}

ColourDraw draw(const ColourJitter& jitter, uint64_t key) {
  ColourDraw d;
  const std::array<double, 4> widths = {jitter.brightness, jitter.contrast, jitter.saturation, jitter.hue};
  for (size_t i = 0; i < 4; ++i) {
    d.on[i] = widths[i] > 0;
    const double middle = i == ColourDraw::kHue ? 0 : 1;
    d.amount[i] = static_cast<float>(middle + widths[i] * (2 * uniform01(key, kAmounts + i) - 1));
  }
  for (size_t i = 0; i < 3; ++i) std::swap(d.order[i], d.order[i + uniform(key, kOrder + i, 4 - i)]);
  return d;
}

void apply(const ColourDraw& d, float* pixels, int64_t n, int c) {
  float* const end = pixels + n * c;
  for (const ColourDraw::Step step : d.order) {
    if (!d.on[step]) continue;
    const float f = d.amount[step];
    switch (step) {
      case ColourDraw::kBrightness:
        for (float* v = pixels; v < end; ++v) *v = clamp01(f * *v);
        break;
      case ColourDraw::kContrast: {
        double sum = 0;
        for (const float* p = pixels; p < end; p += c) sum += grey(p, c);
        const float shift = (1 - f) * static_cast<float>(sum / static_cast<double>(n));
        for (float* v = pixels; v < end; ++v) *v = clamp01(f * *v + shift);
        break;
      }
      case ColourDraw::kSaturation:
        if (c != 3) break;
        for (float* p = pixels; p < end; p += c) {
          const float shift = (1 - f) * grey(p, c);
          for (int k = 0; k < c; ++k) p[k] = clamp01(f * p[k] + shift);
        }
        break;
      case ColourDraw::kHue:
        if (c != 3) break;
        for (float* p = pixels; p < end; p += c) turn_hue(p, f);
        break;
    }
  }
}

}  // namespace mixop::datasets
