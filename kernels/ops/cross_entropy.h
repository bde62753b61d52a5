// Classification losses over logits [N, K], as PyTorch defines them, and counts of right answers.
#pragma once

#include <optional>
#include <span>

#include "kernels/core/impl.h"

namespace mixop::kernels {

enum class Reduction : uint8_t { kNone, kMean, kSum };

struct CrossEntropyAttrs {
  double label_smoothing = 0;  ///< e: the target is (1 - e) onehot + e / K
  Reduction reduction = Reduction::kMean;
  std::optional<int> ignore_index;  ///< rows with this label give 0 and do not count in the mean
  bool unit = false;                ///< of cross_entropy_grad: dloss is 1 and no operand
};

/// cross_entropy(logits [N, K], labels [N] int32) -> loss [1], or [N] without reduction. A label outside [0, K)
/// gives NaN.
std::span<const Impl> cross_entropy_cpu();
std::span<const Impl> cross_entropy_cuda();
/// cross_entropy_grad([dloss,] logits, labels) -> dlogits. Accumulates.
std::span<const Impl> cross_entropy_grad_cpu();
std::span<const Impl> cross_entropy_grad_cuda();

/// cross_entropy_soft(logits [N, K], targets [N, K]; reduction) -> -sum_k targets log_softmax(logits). The other
/// attributes do not count.
std::span<const Impl> cross_entropy_soft_cpu();
std::span<const Impl> cross_entropy_soft_cuda();
/// cross_entropy_soft_grad(dloss, logits, targets) -> dlogits. Accumulates.
std::span<const Impl> cross_entropy_soft_grad_cpu();
std::span<const Impl> cross_entropy_soft_grad_cuda();
/// cross_entropy_soft_target_grad(dloss, logits) -> dtargets. Accumulates.
std::span<const Impl> cross_entropy_soft_target_grad_cpu();
std::span<const Impl> cross_entropy_soft_target_grad_cuda();

struct TopKAttrs {
  int k = 1;
};
/// top_k(logits [N, K], labels [N] int32) -> [1], the number of rows whose label is among the k largest logits; of
/// equal logits the first ranks higher.
std::span<const Impl> top_k_cpu();
std::span<const Impl> top_k_cuda();

}  // namespace mixop::kernels
