// Batch normalisation over the last axis, as PyTorch defines it; recorded as statistics and a normalisation so that
// the latter can move into its consumers.
#pragma once

#include <utility>
#include <vector>

#include "autograd/graph.h"
#include "kernels/ops/batch_norm.h"

namespace mixop::autograd {

extern const OpDef kBnStats, kBnRstd, kBnApply, kBnReduce, kBnGrad;

struct BatchNorm {
  Value gamma{}, beta{};                ///< [C], both or neither
  Value running_mean{}, running_var{};  ///< [C] tensors of a store, both or neither; needed for evaluation
  double eps = 1e-5, momentum = 0.1;    ///< momentum is the weight of the new statistics
  bool training = true;
  /// Further pairs that training moves in the same way: those of norms that this one stands for.
  std::vector<std::pair<Value, Value>> more_running{};
};

/// (x - mean) / sqrt(var + eps) * gamma + beta per channel; x is [.., C] of rank >= 2, and so is the result.
/// Training normalises by the statistics of x, through which the gradient also flows, and moves the running ones
/// towards them; evaluation uses the running ones. Throws when shapes disagree or evaluation lacks running
/// statistics.
Value batch_norm(Graph& g, Value x, const BatchNorm& bn);

}  // namespace mixop::autograd
