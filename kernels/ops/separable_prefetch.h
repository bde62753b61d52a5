// Brings what the next step of a task reads and writes into the second-level cache, a few lines at a time while the
// step in progress computes: a unit has about as many bytes to move as it has arithmetic to hide them behind.
#pragma once

#include <algorithm>

#include "kernels/core/pixel_rows.h"
#include "kernels/core/tensor.h"

namespace mixop::kernels {

class Prefetch {
 public:
  /// Forgets the rest of the step before; `calls` times run() is called in the next one.
  void start(int64_t calls) { count_ = 0, calls_ = std::max<int64_t>(calls, 1), bytes_ = 0; }

  /// Some rows of a tensor, as far as it has them.
  void add(const View& v, int64_t row, int64_t rows) {
    constexpr int64_t kMostBytes = 384 << 10;  // of all tensors: more would push out what is in use
    rows = std::min(rows, v.rows() - row);
    if (rows <= 0) return;
    bytes_ += rows * v.last() * 4;
    if (bytes_ > kMostBytes || count_ == kMostStreams) return;
    const char* at = reinterpret_cast<const char*>(v.as<float>() + row * v.ld);
    Stream& s = streams_[count_++];
    if (v.ld == v.last()) s = {at, kLine, 1, ceil_div(rows * v.ld * 4, kLine), 0};
    else s = {at, v.ld * 4, ceil_div(v.last() * 4, kLine), rows, 0};
    s.per_call = ceil_div(s.left, calls_);
  }

  void run() {
    for (int i = 0; i < count_; ++i) {
      Stream& s = streams_[i];
      const int64_t n = std::min(s.left, s.per_call);
      s.left -= n;
      const char* at = s.at;
      if (s.lines == 1) {
        for (int64_t j = 0; j < n; ++j) __builtin_prefetch(at + j * s.stride, 0, 2);
      } else {
        for (int64_t j = 0; j < n; ++j)
          for (int64_t l = 0; l < s.lines; ++l) __builtin_prefetch(at + j * s.stride + l * kLine, 0, 2);
      }
      s.at += n * s.stride;
    }
  }

 private:
  static constexpr int64_t kLine = 64;
  struct Stream {
    const char* at;
    int64_t stride, lines, left, per_call;
  };
  static constexpr int kMostStreams = 8;
  Stream streams_[kMostStreams];
  int count_ = 0;
  int64_t calls_ = 1, bytes_ = 0;
};

}  // namespace mixop::kernels
