// The definition of pool_stats and pool_stats_grad: their composites, one after the other.
#pragma once

#include <vector>

#include "kernels/core/norm_ref.h"
#include "kernels/ops/pool_ref.h"
#include "kernels/ops/pool_stats.h"

namespace mixop::kernels {

/// t(x), contiguous.
template <class T>
std::vector<T> loaded(const Call& call, const View& x, const OnLoad& load, size_t load_at) {
  const Loader<T> t(call, load, load_at);
  std::vector<T> values(static_cast<size_t>(x.shape.elements()));
  for (int64_t r = 0; r < x.rows(); ++r)
    for (int64_t c = 0; c < x.last(); ++c)
      values[static_cast<size_t>(r * x.last() + c)] = t(x.as<T>()[r * x.ld + c], c);
  return values;
}

template <class T>
void pool_stats_ref(const Call& call) {
  const auto& a = call.attr<PoolStatsAttrs>();
  size_t at = 0;
  for (size_t u = 0; u < a.units.size(); at += a.units[u].inputs(), ++u) {
    const PoolStatsUnit& unit = a.units[u];
    const auto out = call.out.subspan(4 * u, 4);
    std::vector<T> values = loaded<T>(call, call.in[at], unit.load, at + 1);
    const View x{values.data(), dtype_of<T>(), call.in[at].shape, call.in[at].last()};
    const Call pool{call.exec, {&x, 1}, out.first(1), &unit.pool};
    unit.max ? max_pool_ref<T>(pool) : avg_pool_ref<T>(pool);
    std::vector<View> in = {out[0]};
    const auto running = call.in.subspan(at + 1 + static_cast<size_t>(unit.load.inputs()));
    in.insert(in.end(), running.begin(), running.begin() + 2 * unit.norm.running);
    bn_stats_ref<T>({call.exec, in, out.subspan(1), &unit.norm});
  }
}

/// dz of the pool whose z is operand z_at, contiguous.
template <class T>
std::vector<T> pool_norm_gradient(const Call& call, const PoolGradPool& pool, size_t gradient_at, size_t z_at) {
  const View& z = call.in[z_at];
  const T *mean = call.in[z_at + 1].as<T>(), *rstd = call.in[z_at + 2].as<T>();
  const T rows = static_cast<T>(z.rows());
  std::vector<T> dz(static_cast<size_t>(z.shape.elements()));
  for (int64_t c = 0; c < z.last(); ++c) {
    T s1 = 0, s2 = 0;
    for (size_t i = 0; i < pool.parts.size(); ++i) {
      s1 += call.in[z_at + 3 + 2 * i].as<T>()[c];
      s2 += call.in[z_at + 4 + 2 * i].as<T>()[c];
    }
    for (int64_t r = 0; r < z.rows(); ++r) {
      T g = 0;
      for (const PoolGradPart& part : pool.parts) {
        const View& arriving = call.in[gradient_at + static_cast<size_t>(part.gradient)];
        g += factor_of<T>(call, part) * arriving.as<T>()[r * arriving.ld + c];
      }
      const T zhat = (z.as<T>()[r * z.ld + c] - mean[c]) * rstd[c];
      dz[static_cast<size_t>(r * z.last() + c)] = rstd[c] * (g - s1 / rows - zhat * (s2 / rows));
    }
  }
  return dz;
}

template <class T>
void pool_stats_grad_ref(const Call& call) {
  for (size_t i = 0; i < call.attr<PoolStatsGradAttrs>().groups.size(); ++i) {
    const PoolGradOperands o = pool_grad_operands(call, i);
    const PoolGradGroup& group = *o.group;
    clear_unless_add<T>(*o.dx);
    Out dx = *o.dx;
    dx.write = Write::kAdd;
    std::vector<T> values;
    if (group.reads_x) values = loaded<T>(call, call.in[o.x_at], group.load, o.x_at + 1);
    const View x{values.data(), dtype_of<T>(), group.x, group.x.last()};
    for (size_t p = 0; p < group.pools.size(); ++p) {
      const PoolGradPool& pool = group.pools[p];
      std::vector<T> gradient = pool_norm_gradient<T>(call, pool, o.gradient_at, o.pool_at[p]);
      const View& z = call.in[o.pool_at[p]];
      const View dz{gradient.data(), dtype_of<T>(), z.shape, z.last()};
      if (pool.max) {
        const View in[] = {dz, x};
        max_pool_grad_ref<T>({call.exec, in, {&dx, 1}, &pool.pool});
      } else {
        const AvgPoolGradAttrs attrs{pool.pool, group.x};
        avg_pool_grad_ref<T>({call.exec, {&dz, 1}, {&dx, 1}, &attrs});
      }
    }
    for (const PoolGradPart& part : group.skips) {
      const View& g = call.in[o.gradient_at + static_cast<size_t>(part.gradient)];
      const T a = factor_of<T>(call, part);
      for (int64_t r = 0; r < dx.rows(); ++r)
        for (int64_t c = 0; c < dx.last(); ++c) dx.as<T>()[r * dx.ld + c] += a * g.as<T>()[r * g.ld + c];
    }
  }
}

}  // namespace mixop::kernels
