#include "kernels/ops/pool_stats.h"

namespace mixop::kernels {

PoolGradOperands pool_grad_operands(const Call& call, size_t group) {
  const auto& a = call.attr<PoolStatsGradAttrs>();
  size_t at = a.table ? 1 : 0;
  for (size_t g = 0; g < group; ++g) at += a.groups[g].inputs();
  const PoolGradGroup& g = a.groups[group];
  PoolGradOperands o{&g, at, at + g.first_gradient(), {}, &call.out[group]};
  at = o.gradient_at + static_cast<size_t>(g.gradients);
  for (const PoolGradPool& p : g.pools) {
    o.pool_at.push_back(at);
    at += p.inputs();
  }
  return o;
}

}  // namespace mixop::kernels
