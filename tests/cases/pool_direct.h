// pool_stats and pool_stats_grad as nodes of their own, in forms that passes make of whole networks only: several
// units and groups in a call, a norm on load, many arriving gradients, skip connections.
#pragma once

#include "autograd/ops/binary.h"
#include "autograd/ops/pool.h"
#include "kernels/ops/pool_stats.h"
#include "tests/support/case.h"

namespace mixop::test {

/// The pools of some states.
struct DirectPools {
  std::vector<kernels::Shape> xs;
  kernels::PoolAttrs pool{};
  bool norm = false, affine = false;  ///< of x, on load
  int gradients = 1;                  ///< that arrive at each state
  bool table = false;                 ///< they are weighted
  bool max = true, avg = true, skip = false;
  bool fewer = false;  ///< the average counts in the last gradient only
  bool ties = false;   ///< x of zeros and ones: nearly every window has several maxima
};

class DirectPoolCase {
 public:
  explicit DirectPoolCase(DirectPools p) : p_(std::move(p)) {
    for (const kernels::Shape& x : p_.xs) case_.name += kernels::text(" ", x);
    case_.name += kernels::text(" stride ", p_.pool.stride[0], p_.norm ? " normed" : "", p_.affine ? " affine" : "",
                                p_.max ? " max" : "", p_.avg ? " avg" : "", p_.ties ? " ties" : "");
    for (size_t i = 0; i < p_.xs.size(); ++i) {
      x_at_.push_back(
          add(kernels::text("x", i), p_.xs[i], p_.ties ? CaseInput::Fill::kMask : CaseInput::Fill::kNormal));
      norm(kernels::text("load", i), p_.xs[i].last(), true);
    }
  }

  Case forward() {
    case_.name = "pool_stats" + case_.name;
    case_.build = [*this](autograd::Graph& g, const std::vector<autograd::Value>& in) {
      kernels::PoolStatsAttrs attrs;
      std::vector<autograd::Value> operands;
      for (size_t i = 0; i < p_.xs.size(); ++i)
        for (const bool max : kinds()) {
          attrs.units.push_back({p_.pool, max, load(), {}});
          push_x(operands, in, i);
        }
      return g.add(autograd::kPoolStats, operands, attrs);
    };
    return std::move(case_);
  }

  /// dx of each state. With `to_sum` it adds to something that is there before.
  Case backward(bool to_sum) {
    case_.name = kernels::text("pool_stats_grad", case_.name, p_.skip ? " skip" : "", p_.table ? " weighted" : "",
                               " ", p_.gradients, " gradients", p_.fewer ? " or one" : "", to_sum ? " added" : "");
    const int table = add("table", {4, 5});
    std::vector<int> arriving, z_at;
    for (size_t i = 0; i < p_.xs.size(); ++i) {
      const kernels::Shape &x = p_.xs[i], z = pooled(x);
      for (int j = 0; j < p_.gradients; ++j) {
        const int at = add(kernels::text("g", i, ".", j), z);
        if (j == 0) arriving.push_back(at);
      }
      for (const bool max : kinds()) {
        z_at.push_back(add(kernels::text(max ? "max" : "avg", i), z));
        norm(kernels::text("norm", i, max), x.last(), false);
        for (int j = 0; j < p_.gradients; ++j)
          for (const char* sum : {"s1", "s2"}) add(kernels::text(sum, i, max, ".", j), {x.last()});
      }
    }
    case_.build = [=, *this](autograd::Graph& g, const std::vector<autograd::Value>& in) {
      kernels::PoolStatsGradAttrs attrs{.table = p_.table, .groups = {}};
      std::vector<autograd::Value> operands;
      if (p_.table) operands.push_back(in[static_cast<size_t>(table)]);
      int64_t index = 0;
      const auto next = [&] { return p_.table ? (7 * index++) % 20 : -1; };
      for (size_t i = 0, pool = 0; i < p_.xs.size(); ++i) {
        kernels::PoolGradGroup group{
            .x = p_.xs[i], .load = load(), .reads_x = p_.max, .gradients = p_.gradients, .pools = {}, .skips = {}};
        if (group.reads_x) push_x(operands, in, i);
        const auto first = in.begin() + arriving[i];
        operands.insert(operands.end(), first, first + p_.gradients);
        for (const bool max : kinds()) {
          kernels::PoolGradPool one{p_.pool, max, {}};
          const auto z = in.begin() + z_at[pool++];
          operands.insert(operands.end(), z, z + 3);
          for (int j = p_.fewer && !max ? p_.gradients - 1 : 0; j < p_.gradients; ++j) {
            one.parts.push_back({j, next()});
            operands.insert(operands.end(), z + 3 + 2 * j, z + 5 + 2 * j);
          }
          group.pools.push_back(one);
        }
        for (int j = 0; p_.skip && j < p_.gradients; ++j) group.skips.push_back({j, next()});
        attrs.groups.push_back(group);
      }
      std::vector<autograd::Value> out = g.add(autograd::kPoolStatsGrad, operands, attrs);
      for (size_t i = 0; to_sum && i < out.size(); ++i) {
        const autograd::Value x = in[static_cast<size_t>(x_at_[i])];
        out[i] = autograd::sum(g, {autograd::add(g, x, x), out[i]});
      }
      return out;
    };
    return std::move(case_);
  }

 private:
  int add(const std::string& name, const kernels::Shape& shape, CaseInput::Fill fill = CaseInput::Fill::kNormal) {
    case_.inputs.push_back({.name = name, .shape = shape, .fill = fill, .differentiate = false});
    return static_cast<int>(case_.inputs.size()) - 1;
  }
  void norm(const std::string& name, int64_t channels, bool affine) {
    add(name + ".mean", {channels});
    add(name + ".rstd", {channels}, CaseInput::Fill::kPositive);
    if (affine) add(name + ".gamma", {channels}), add(name + ".beta", {channels});
  }
  kernels::OnLoad load() const { return {.norm = p_.norm, .affine = p_.affine}; }
  std::vector<bool> kinds() const {
    std::vector<bool> max;
    if (p_.max) max.push_back(true);
    if (p_.avg) max.push_back(false);
    return max;
  }
  kernels::Shape pooled(const kernels::Shape& x) const {
    return {x[0], kernels::PoolAxis(p_.pool, x, 0).outputs(), kernels::PoolAxis(p_.pool, x, 1).outputs(), x[3]};
  }
  void push_x(std::vector<autograd::Value>& operands, const std::vector<autograd::Value>& in, size_t i) const {
    const auto x = in.begin() + x_at_[i];
    operands.insert(operands.end(), x, x + 1 + load().inputs());
  }

  DirectPools p_;
  Case case_;
  std::vector<int> x_at_;
};

inline std::vector<Case> pool_direct_cases() {
  using kernels::Shape;
  std::vector<Case> cases;
  const auto add = [&](const DirectPools& p) {
    if (p.max || p.avg) cases.push_back(DirectPoolCase(p).forward());
    cases.push_back(DirectPoolCase(p).backward(false));
    cases.push_back(DirectPoolCase(p).backward(true));
  };
  for (const int64_t c : {3, 4, 16, 17, 36, 64})
    for (const int stride : {1, 2}) {
      const kernels::PoolAttrs pool{.stride = {stride, stride}};
      add({.xs = {{2, 7, 6, c}}, .pool = pool, .gradients = 3, .table = true, .skip = stride == 1});
      add({.xs = {{2, 6, 9, c}, {2, 6, 9, c}},
           .pool = pool,
           .norm = true,
           .gradients = 4,
           .table = true,
           .skip = stride == 1});
      add({.xs = {{3, 5, 5, c}},
           .pool = pool,
           .norm = true,
           .affine = true,
           .gradients = 2,
           .table = true,
           .avg = false,
           .fewer = true});
      add({.xs = {{2, 9, 4, c}}, .pool = pool, .gradients = 2, .table = true, .max = false, .skip = stride == 1});
    }
  add({.xs = {{2, 6, 6, 16}}, .gradients = 1});
  add({.xs = {{2, 6, 6, 16}}, .gradients = 5, .table = true, .skip = true});
  add({.xs = {{2, 6, 7, 16}}, .max = false, .avg = false, .skip = true});
  add({.xs = {{1, 40, 33, 16}}, .pool = {.stride = {2, 2}}, .norm = true, .gradients = 4, .table = true});
  add({.xs = {{2, 6, 6, 16}}, .gradients = 3, .table = true, .skip = true, .fewer = true});
  add({.xs = {{35, 4, 5, 16}, {35, 4, 5, 16}}, .gradients = 2, .table = true, .skip = true});
  add({.xs = {{1, 40, 33, 16}}, .norm = true, .gradients = 2, .table = true, .skip = true});
  // Several tiles along both axes, the last ones partly filled; a last group of channels too.
  for (const int stride : {1, 2})
    for (const int64_t c : {6, 20}) {
      const DirectPools p{.xs = {{1, 17, 19, c}},
                          .pool = {.stride = {stride, stride}},
                          .norm = true,
                          .affine = c == 20,
                          .gradients = 2,
                          .table = true,
                          .skip = stride == 1,
                          .ties = true};
      cases.push_back(DirectPoolCase(p).backward(false));
      cases.push_back(DirectPoolCase(p).backward(true));
    }
  // More parts, pools and states than fit the arguments of a launch.
  add({.xs = {{1, 4, 5, 8}, {1, 3, 3, 8}, {2, 4, 4, 4}, {1, 4, 4, 3}, {1, 2, 2, 8}, {1, 5, 2, 20}},
       .norm = true,
       .gradients = 9,
       .table = true,
       .skip = true});
  add({.xs = {{2, 9, 8, 16}},
       .pool = {.kernel = {5, 3}, .stride = {3, 2}, .pad = {2, 1}, .include_pad = true},
       .norm = true,
       .gradients = 2,
       .table = true});
  return cases;
}

}  // namespace mixop::test
