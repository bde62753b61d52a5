// How CPU kernels of pooling cut a call into bands of rows and a thread's scratch into lines.
#pragma once

#include <algorithm>
#include <array>
#include <utility>

#include "kernels/core/parallel.h"
#include "kernels/ops/pool.h"

namespace mixop::kernels {

constexpr int kMaxKernel = 32;

/// x, or scale x + shift with a constant each for every channel.
struct PoolInput {
  const View& x;
  const float *scale = nullptr, *shift = nullptr;
};

/// Geometry of a call and the lines of floats that each thread works in.
struct PoolPlan {
  /// The pixels of an input row that phase p holds: `count` of them from pixel `x` on, each h.stride apart,
  /// beginning at position `at` of the phase.
  struct Pixels {
    int64_t x, at, count;
  };

  PoolAxis v, h;
  int64_t images, channels, height, width;  // output height and width
  int64_t reach;                            // largest shift of a tap, in pixels of a phase
  int64_t phase;                            // pixels of one phase of a padded line
  int64_t row, line, input;                 // floats of an output row; of such a row with zeros at both ends; of an
                                            // input row
  std::array<int64_t, kMaxKernel> tap_phase{}, tap_shift{};  // where each horizontal tap lies
  std::array<Pixels, kMaxKernel> phases{};

  PoolPlan(const PoolAttrs& attrs, const Shape& x)
      : v(attrs, x, 0), h(attrs, x, 1), images(x[0]), channels(x[3]), height(v.outputs()), width(h.outputs()) {
    reach = (h.extent() - 1) / h.stride;
    phase = std::max(width + reach, (h.size - 1 + h.pad) / h.stride + 1);
    row = round_up(width * channels);
    line = round_up((reach + phase) * channels);
    input = round_up(h.size * channels);
    for (int64_t k = 0; k < h.kernel; ++k) {
      tap_phase[k] = k * h.dilation % h.stride;
      tap_shift[k] = k * h.dilation / h.stride;
    }
    for (int64_t p = 0; p < h.stride; ++p) phases[p] = pixels(p);
  }
  /// Whether its windows are small enough.
  static bool takes(const PoolAttrs& a) { return std::max({a.kernel[0], a.kernel[1], a.stride[1]}) <= kMaxKernel; }
  static int64_t round_up(int64_t n) { return (n + 15) / 16 * 16; }
  int64_t padded() const { return round_up(h.stride * phase * channels); }

  Pixels pixels(int64_t p) const {
    const int64_t at = std::max<int64_t>(0, (h.pad - p + h.stride - 1) / h.stride);
    const int64_t x = p + at * h.stride - h.pad;
    return {x, at, x < h.size ? (h.size - 1 - x) / h.stride + 1 : 0};
  }
  /// The place of row r in a ring that holds the rows of one window.
  int64_t slot(int64_t r) const { return static_cast<uint32_t>(r) % static_cast<uint32_t>(v.extent()); }
  /// Windows that touch input row r: [begin, end).
  Range windows(int64_t r) const {
    const int64_t before = r + v.pad - v.extent();  // last row position before the first such window
    return {before < 0 ? 0 : before / v.stride + 1, std::min(height, (r + v.pad) / v.stride + 1)};
  }
  /// Bands of rows of one image, enough for many threads; each of them repeats some rows of its neighbours.
  int64_t bands(int64_t rows) const {
    return std::clamp<int64_t>(32 / images, 1, std::max<int64_t>(rows / (4 * v.extent()), 1));
  }

  int64_t forward_floats() const { return padded() + (v.extent() + 2) * row + 3 * input; }
  int64_t max_grad_floats() const { return padded() + v.extent() * (row + 2 * line) + 2 * row + line + 3 * input; }
  int64_t avg_grad_floats() const { return (v.extent() + 2) * row + 2 * line; }
};

/// Lines of one thread, handed out in order.
struct Lines {
  float* next;
  float* take(int64_t floats, float fill = 0) {
    std::fill_n(next, floats, fill);
    return std::exchange(next, next + floats);
  }
};

/// Calls f(image, band of rows, the thread's scratch) for every band of every image; `floats` a thread.
template <class F>
void for_bands(const Call& call, const PoolPlan& plan, int64_t rows, int64_t floats, const F& f) {
  const int64_t bands = plan.bands(rows);
  parallel_for(*call.exec, plan.images * bands, [&](int64_t task, int thread) {
    f(task / bands, part_of(rows, bands, task % bands), call.exec->scratch<float>() + thread * floats);
  });
}

}  // namespace mixop::kernels
