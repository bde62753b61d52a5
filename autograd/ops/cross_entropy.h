// Classification losses as PyTorch defines them, and counts of right answers.
#pragma once

#include <optional>

#include "autograd/graph.h"
#include "kernels/ops/cross_entropy.h"

namespace mixop::autograd {

using kernels::Reduction;
extern const OpDef kCrossEntropy, kCrossEntropyGrad, kCrossEntropySoft, kCrossEntropySoftGrad,
    kCrossEntropySoftTargetGrad, kTopK;

/// logits [N, K], labels [N] int32 -> [1], or [N] with Reduction::kNone. Smoothing e in [0, 1] makes the target
/// (1 - e) onehot + e / K. Rows labelled ignore_index give 0 and do not count in the mean; any other label outside
/// [0, K) makes the loss NaN.
Value cross_entropy(Graph& g, Value logits, Value labels, double label_smoothing = 0,
                    Reduction reduction = Reduction::kMean, std::optional<int> ignore_index = {});
/// -sum over K of targets log_softmax(logits); logits and targets [N, K]; both get gradients.
Value cross_entropy_soft(Graph& g, Value logits, Value targets, Reduction reduction = Reduction::kMean);

/// [1]: the number of rows whose label has the largest logit, of equal ones the first.
Value top1(Graph& g, Value logits, Value labels);
/// [1]: the number of rows whose label is among the k largest logits, 1 <= k <= K.
Value top_k(Graph& g, Value logits, Value labels, int k);

}  // namespace mixop::autograd
