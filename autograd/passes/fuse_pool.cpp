// A pooling and the statistics of its result become one `pool_stats`; the gradient of the norm behind it and that
// of the pooling become one `pool_stats_grad`. A norm that several mixtures read gets the sum U = sum a_j G_j of
// their gradients: its sums over U are those over each a_j G_j, which reduce G_j, and fuse_mix.cpp joins them to
// the other reductions of G_j. Neither U nor a reduction of it remains.
#include <algorithm>
#include <array>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/pool.h"
#include "autograd/passes/conditions.h"
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
using kernels::ScaleAttrs;

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
  /// A gradient that arrives at a norm, element `index` of the table by which it counts there (-1: 1), and its
  /// sums.
  struct Part {
    Value gradient;
    int64_t index;
    std::array<Value, 2> sums;
  };

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
    if (stats < 0 || !same_condition(r_.graph(), pool, stats) ||
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
    if (!same_condition(r_.graph(), use->node, norm_grad)) return;
    const Node& pool = r_.node(use->node);
    PoolGradGroup group;
    PoolGradPool of_pool{{}, pool.op == &kMaxPoolGrad, {}};
    std::vector<Value> in;
    if (of_pool.max) {
      of_pool.pool = pool.attr<PoolAttrs>();
      group.x = r_.graph().shape(pool.inputs[1]);
      group.reads_x = true;
      in.push_back(pool.inputs[1]);
    } else if (pool.op == &kAvgPoolGrad) {
      of_pool.pool = pool.attr<AvgPoolGradAttrs>().pool;
      group.x = pool.attr<AvgPoolGradAttrs>().x;
    } else {
      return;
    }
    const Value table = table_of(norm_grad);
    const std::vector<Part> parts = parts_of(norm_grad, table);
    for (const Part& part : parts) {
      of_pool.parts.push_back({static_cast<int>(of_pool.parts.size()), part.index});
      in.push_back(part.gradient);
    }
    in.insert(in.end(), n.inputs.begin() + 1, n.inputs.begin() + 4);
    for (const Part& part : parts) in.insert(in.end(), part.sums.begin(), part.sums.end());
    if (table) in.insert(in.begin(), table);
    group.gradients = static_cast<int>(parts.size());
    group.pools.push_back(std::move(of_pool));
    const PoolStatsGradAttrs attrs{bool(table), {group}};
    r_.replace({use->node, 0}, {r_.insert(kPoolStatsGrad, std::move(in), attrs, use->node), 0});
  }

  /// The sums of a norm are those of a bn_reduce of what arrives, and nobody else reads that.
  bool divisible(int norm_grad) const {
    const Node& n = r_.node(norm_grad);
    const Value arriving = n.inputs[0];
    const int reduce = n.inputs[4].node;
    const auto& parts = r_.node(arriving.node).inputs;
    const auto alike = [&](int i) { return same_condition(r_.graph(), i, norm_grad); };
    return r_.node(arriving.node).op == &kSum && r_.node(reduce).op == &kBnReduce && alike(arriving.node) &&
           alike(reduce) && std::all_of(parts.begin(), parts.end(), [&](Value v) { return alike(v.node); }) &&
           n.inputs[5] == Value{reduce, 1} &&
           std::equal(n.inputs.begin(), n.inputs.begin() + 4, r_.node(reduce).inputs.begin()) &&
           r_.uses(arriving).size() == 2 && !r_.requested(arriving);
  }

  /// The table whose elements multiply what arrives at a norm; of several the first.
  Value table_of(int norm_grad) const {
    const Node& n = r_.node(norm_grad);
    if (n.attr<BatchNormAttrs>().scaled) return n.inputs.back();
    if (!divisible(norm_grad)) return {};
    for (const Value v : r_.node(n.inputs[0].node).inputs)
      if (r_.node(v.node).op == &kScale) return r_.node(v.node).inputs[0];
    return {};
  }

  std::vector<Part> parts_of(int norm_grad, Value table) {
    const Node& n = r_.node(norm_grad);
    const auto& norm = n.attr<BatchNormAttrs>();
    if (norm.scaled || !divisible(norm_grad))
      return {{n.inputs[0], norm.scaled ? norm.scale_index : -1, {n.inputs[4], n.inputs[5]}}};
    std::vector<Part> parts;
    for (const Value v : r_.node(n.inputs[0].node).inputs) {
      const Node& from = r_.node(v.node);
      BatchNormAttrs attrs = norm;
      attrs.scaled = from.op == &kScale && from.inputs[0] == table;
      if (attrs.scaled) attrs.scale_index = from.attr<ScaleAttrs>().index;
      const Value gradient = attrs.scaled ? from.inputs[1] : v;
      std::vector<Value> in = {gradient, n.inputs[1], n.inputs[2], n.inputs[3]};
      if (attrs.scaled) in.push_back(table);
      const int sums = r_.insert(kBnReduce, std::move(in), attrs, n.inputs[4].node);
      parts.push_back({gradient, attrs.scaled ? attrs.scale_index : -1, {Value{sums, 0}, Value{sums, 1}}});
    }
    return parts;
  }

  Rewriter r_;
};

}  // namespace

void fuse_pool(Graph& graph, std::vector<Value>& outputs) { Fuser(graph, outputs).run(); }

}  // namespace mixop::autograd
