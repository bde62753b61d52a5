// The mixed operation of a differentiable supernet (DARTS, Liu et al. 2019): a sum of candidates weighted by
// elements of a table, usually softmaxed architecture weights [edges, ops]. index counts over the flattened table,
// t is the term's transform on load (kernels/core/on_load.h).
//   mix              table, then per term z [, mean, rstd [, gamma, beta]] -> y = sum_t table[index_t] * t_t(z_t)
//                    (accumulates)
//   scale            table, x -> table[index] * x (accumulates)
//   mix_weight_grad  G, table, then per term as in mix -> dtable, whose element index_t is sum(G * t_t(z_t)), terms
//   of
//                    the same index add, all other elements are 0 (accumulates). Of the table only the shape is
//                    used.
#pragma once

#include <span>
#include <vector>

#include "kernels/core/on_load.h"

namespace mixop::kernels {

struct MixAttrs {
  struct Term {
    int64_t index;  ///< element of the flattened table
    OnLoad load;
  };
  std::vector<Term> terms;
};

struct ScaleAttrs {
  int64_t index = 0;  ///< element of the flattened table
};

/// Where element i of the flattened table lies in memory, counted from its start.
inline int64_t table_offset(const View& table, int64_t i) { return i / table.last() * table.ld + i % table.last(); }

std::span<const Impl> mix_cpu();
std::span<const Impl> mix_cuda();
std::span<const Impl> scale_cpu();
std::span<const Impl> scale_cuda();
std::span<const Impl> mix_weight_grad_cpu();
std::span<const Impl> mix_weight_grad_cuda();

}  // namespace mixop::kernels
