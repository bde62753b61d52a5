#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/ops/augment.h"

namespace mixop::kernels {

template <class T>
void augment_ref(const Call& call) {
  const View &pixels = call.in[0], &draws = call.in[1], &table = call.in[2];
  const Out& y = call.out[0];
  const int64_t height = y.shape[1], width = y.shape[2], channels = y.shape[3];
  parallel_for(*call.exec, y.shape[0], [&](int64_t i, int) {
    const int32_t* draw = draws.as<int32_t>() + i * draws.ld;
    const int64_t index = std::clamp<int64_t>(draw[kDrawIndex], 0, pixels.shape[0] - 1);
    for (int64_t r = 0; r < height; ++r) {
      for (int64_t c = 0; c < width; ++c) {
        const int64_t from_r = r + draw[kDrawDy], from_c = (draw[kDrawFlip] ? width - 1 - c : c) + draw[kDrawDx];
        const bool inside = from_r >= 0 && from_r < height && from_c >= 0 && from_c < width;
        const bool erased = r >= draw[kDrawY1] && r < draw[kDrawY2] && c >= draw[kDrawX1] && c < draw[kDrawX2];
        const uint8_t* from =
            inside ? pixels.as<uint8_t>() + ((index * height + from_r) * width + from_c) * pixels.ld : nullptr;
        T* to = y.as<T>() + ((i * height + r) * width + c) * y.ld;
        for (int64_t k = 0; k < channels; ++k)
          to[k] = erased ? T(0) : table.as<T>()[k * table.ld + (from ? from[k] : 0)];
      }
    }
  });
}

}  // namespace mixop::kernels
