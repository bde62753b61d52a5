// The mixed operation of a differentiable supernet (DARTS, Liu et al. 2019): a sum of candidates weighted by
// elements of a table, usually softmaxed architecture weights [edges, ops]. index counts over the flattened table,
// t is the term's transform on load (kernels/core/on_load.h).
//   mix              table, then per term z [, mean, rstd [, gamma, beta]] [, factor [N]] ->
//                    y = sum_t table[index_t] * factor_t[n] * t_t(z_t) (accumulates); without a table, `plain`,
//                    every weight is 1: a sum of values and norms, under drop path with factors mask / keep
//   scale            table, x -> table[index] * x (accumulates)
//   mix_weight_grad  G, table, then per term as in mix -> dtable, whose element index_t is sum(G * t_t(z_t))
//                    (accumulates). Terms of the same index add, all other elements are 0. Of the table only the
//                    shape is used.
//   mix_reduce       G [.., K] [, table], then per term as in mix -> [dtable], then s1 [K], s2 [K] per term whose
//                    sums are wanted (output 0, whichever it is, accumulates). With M the rows of G,
//                      S1 = sum_M G, S2_t = sum_M G * zhat_t, zhat = (z - mean) * rstd, or z itself without a norm,
//                      s1_t = a_t S1, s2_t = a_t S2_t with a_t = table[index_t] where the term is scaled, else 1,
//                      dtable[index_t] = sum_K gamma S2_t + beta S1 (gamma 1, beta 0 where there are none), as in
//                      mix_weight_grad over the weighted terms: it costs nothing beyond batch norm's own sums.
//                    A sampled term has factor_t[n] * G in place of G in both its sums: its S1 is its own.
//                    Composite: mask_scale of G for sampled terms, bn_reduce of every term with sums,
//                    mix_weight_grad of the weighted terms.
//                    Reads (terms + 1) T, writes vectors.
// A term of any of them whose z is null is absent: it counts as zeros, none of its inputs are read and its sums are
// not written.
#pragma once

#include <span>
#include <vector>

#include "kernels/core/on_load.h"

namespace mixop::kernels {

struct MixAttrs {
  struct Term {
    int64_t index;  ///< element of the flattened table
    OnLoad load;
    /// A factor [N] for each sample of z [N, ..] is the term's last operand; not for mix_weight_grad.
    bool sampled = false;
    size_t inputs() const { return 1 + static_cast<size_t>(load.inputs()) + (sampled ? 1 : 0); }
  };
  std::vector<Term> terms;
  bool plain = false;  ///< mix only: there is no table, every weight is 1

  size_t first_term() const { return plain ? 0 : 1; }  ///< input of mix
};

struct MixReduceAttrs {
  struct Term : MixAttrs::Term {
    bool weighted = false;  ///< counts in dtable
    bool sums = false;      ///< s1 and s2 are wanted; the load has a norm then. No load has a relu
    bool scaled = false;    ///< the gradient that arrives at the norm is table[index] * G
  };
  std::vector<Term> terms;
  bool table = false;   ///< is an input
  bool dtable = false;  ///< is an output; needs the table's shape

  size_t first_term() const { return table ? 2 : 1; }   ///< input
  size_t first_sums() const { return dtable ? 1 : 0; }  ///< output
};

struct ScaleAttrs {
  int64_t index = 0;  ///< element of the flattened table
};

/// Where element i of the flattened table lies in memory, counted from its start.
inline int64_t table_offset(const View& table, int64_t i) { return i / table.last() * table.ld + i % table.last(); }

/// The weight of a term of mix.
template <class T>
T weight_of(const Call& call, int64_t index) {
  return call.attr<MixAttrs>().plain ? T(1) : call.in[0].as<T>()[table_offset(call.in[0], index)];
}

/// Rows that share an element of factors [N] for a tensor [N, ..].
inline int64_t rows_per_sample(const View& y) { return y.rows() / y.shape[0]; }

std::span<const Impl> mix_cpu();
std::span<const Impl> mix_cuda();
std::span<const Impl> scale_cpu();
std::span<const Impl> scale_cuda();
std::span<const Impl> mix_weight_grad_cpu();
std::span<const Impl> mix_weight_grad_cuda();
std::span<const Impl> mix_reduce_cpu();
std::span<const Impl> mix_reduce_cuda();

}  // namespace mixop::kernels
