// The definition of pool_stats and pool_stats_grad: their composites, one after the other.
#pragma once

#include <vector>

#include "kernels/core/norm_ref.h"
#include "kernels/ops/pool_ref.h"
#include "kernels/ops/pool_stats.h"

namespace mixop::kernels {

template <class T>
void pool_stats_ref(const Call& call) {
  const auto& a = call.attr<PoolStatsAttrs>();
  const Call pool{call.exec, call.in.first(1), call.out.first(1), &a.pool};
  a.max ? max_pool_ref<T>(pool) : avg_pool_ref<T>(pool);
  std::vector<View> in = {call.out[0]};
  in.insert(in.end(), call.in.begin() + 1, call.in.end());
  bn_stats_ref<T>({call.exec, in, call.out.subspan(1), &a.norm});
}

template <class T>
void pool_stats_grad_ref(const Call& call) {
  const auto& a = call.attr<PoolStatsGradAttrs>();
  const View& z = call.in[1];
  std::vector<T> values(z.shape.elements());
  const Out dz{{values.data(), dtype_of<T>(), z.shape, z.last()}, Write::kSet};
  bn_grad_ref<T>({call.exec, call.in.first(a.x_at()), {&dz, 1}, &a.norm});
  if (a.max) {
    const View in[] = {dz, call.in[a.x_at()]};
    max_pool_grad_ref<T>({call.exec, in, call.out, &a.pool});
  } else {
    const View in[] = {dz};
    const AvgPoolGradAttrs attrs{a.pool, a.x};
    avg_pool_grad_ref<T>({call.exec, in, call.out, &attrs});
  }
}

}  // namespace mixop::kernels
