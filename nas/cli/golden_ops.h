// The operations of golden cases, by name.
#pragma once

#include <span>

#include "nas/cli/golden_program.h"

namespace mixop::cli {

struct GoldenOp {
  const char* name;
  void (*build)(Program&);
};

/// Activations, softmax, arithmetic with broadcasting, reductions, concatenation, masks.
std::span<const GoldenOp> elementwise_ops();
/// Convolution, pooling, batch norm, linear layers, products, classification losses.
std::span<const GoldenOp> layer_ops();
/// The operations that DARTS cells are composed of. Names sep_conv_KxK and dil_conv_KxK stand for any odd K.
std::span<const GoldenOp> cell_ops();
/// Builds one of these; false when the name is none of theirs.
bool build_kxk(Program& p);

/// sgd, adam, adamw, rmsprop: the parameter after each step. Throws NotCovered for another op.
Evaluation evaluate_optimizer(const GoldenCase& golden, const Arithmetic& arithmetic);
/// A whole supernet: forward pass, every first-order gradient, and search steps.
Evaluation evaluate_supernet(const GoldenCase& golden, const Arithmetic& arithmetic);

}  // namespace mixop::cli
