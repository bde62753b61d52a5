// A pooling and the statistics of its result become one `pool_stats`; the gradient of the norm behind it and that
// of the pooling become one `pool_stats_grad`.
#include <algorithm>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/pool.h"
#include "autograd/passes/passes.h"
#include "autograd/passes/rewrite.h"

namespace mixop::autograd {
namespace {

using kernels::AvgPoolGradAttrs;
using kernels::BatchNormAttrs;
using kernels::PoolGradGroup;
using kernels::PoolGradPool;
using kernels::PoolStatsAttrs;
using kernels::PoolStatsGradAttrs;

class Fuser {
 public:
  Fuser(Graph& g, std::vector<Value>& outputs) : r_(g, outputs) {}

  void run() {
    for (int i = 0; i < r_.graph().size(); ++i) {
      const OpDef* op = r_.node(i).op;
      if (op == &kMaxPool || op == &kAvgPool) fuse_forward(i);
      else if (op == &kBnGrad) fuse_backward(i);
    }
    r_.finish();
  }

 private:
  /// The result is stored, whoever reads it; but the fused node stands behind the statistics, so that nobody may
  /// read it before.
  void fuse_forward(int pool) {
    const Value z{pool, 0};
    int stats = -1;
    for (const Use& use : r_.uses(z)) {
      if (r_.node(use.node).op != &kBnStats) continue;
      if (stats >= 0) return;
      stats = use.node;
    }
    if (stats < 0 ||
        std::any_of(r_.uses(z).begin(), r_.uses(z).end(), [&](const Use& u) { return u.node < stats; }))
      return;
    const Node &p = r_.node(pool), &s = r_.node(stats);
    std::vector<Value> in = {p.inputs[0]};
    in.insert(in.end(), s.inputs.begin() + 1, s.inputs.end());
    const PoolStatsAttrs attrs{{{p.attr<PoolAttrs>(), p.op == &kMaxPool, {}, s.attr<BatchNormAttrs>()}}};
    const int now = r_.insert(kPoolStats, std::move(in), attrs, stats);
    r_.replace(z, {now, 0});
    for (int i = 0; i < 3; ++i) r_.replace({stats, i}, {now, 1 + i});
  }

  void fuse_backward(int norm_grad) {
    const Node& n = r_.node(norm_grad);
    const auto& norm = n.attr<BatchNormAttrs>();
    const Use* use = r_.only_use({norm_grad, 0});
    if (!use || use->input != 0 || !norm.training || norm.affine) return;
    const Node& pool = r_.node(use->node);
    PoolGradGroup group;
    PoolGradPool part{{}, pool.op == &kMaxPoolGrad, {{0, norm.scaled ? norm.scale_index : -1}}};
    std::vector<Value> in;
    if (norm.scaled) in.push_back(n.inputs.back());
    if (part.max) {
      part.pool = pool.attr<PoolAttrs>();
      group.x = r_.graph().shape(pool.inputs[1]);
      group.reads_x = true;
      in.push_back(pool.inputs[1]);
    } else if (pool.op == &kAvgPoolGrad) {
      part.pool = pool.attr<AvgPoolGradAttrs>().pool;
      group.x = pool.attr<AvgPoolGradAttrs>().x;
    } else {
      return;
    }
    group.pools.push_back(part);
    in.insert(in.end(), n.inputs.begin(), n.inputs.begin() + 6);
    const PoolStatsGradAttrs attrs{norm.scaled, {group}};
    r_.replace({use->node, 0}, {r_.insert(kPoolStatsGrad, std::move(in), attrs, use->node), 0});
  }

  Rewriter r_;
};

}  // namespace

void fuse_pool(Graph& graph, std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
