#pragma once

#include <algorithm>

#include "kernels/core/parallel.h"
#include "kernels/ops/shuffle.h"

namespace mixop::kernels {

template <class T>
void channel_shuffle_ref(const Call& call) {
  const View& x = call.in[0];
  const Out& y = call.out[0];
  const bool add = y.write == Write::kAdd;
  const int64_t groups = call.attr<ShuffleAttrs>().groups, width = x.last() / groups;
  const int64_t rows = x.rows(), tasks = std::clamp<int64_t>(x.shape.elements() >> 13, 1, rows);
  parallel_for(*call.exec, tasks, [&](int64_t task, int) {
    const auto [begin, end] = part_of(rows, tasks, task);
    for (int64_t r = begin; r < end; ++r) {
      const T* from = x.as<T>() + r * x.ld;
      T* to = y.as<T>() + r * y.ld;
      for (int64_t j = 0; j < width; ++j)
        for (int64_t i = 0; i < groups; ++i, ++to) *to = from[i * width + j] + (add ? *to : T(0));
    }
  });
}

}  // namespace mixop::kernels
