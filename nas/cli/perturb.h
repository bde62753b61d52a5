// What rounding does to a graph, measured: the float64 graph with its intermediate results moved a little.
#pragma once

#include "autograd/graph.h"
#include "autograd/plan.h"

namespace mixop::cli {

constexpr double kEps32 = 0x1p-23, kEps64 = 0x1p-52;

struct Perturbation {
  enum class Kind : uint8_t {
    kNone,
    kNoise,  ///< every result of a node times 1 + eps32 u, u uniform in [-1, 1] (Monte Carlo arithmetic, Parker
             ///< 1997)
    kKinks   ///< only where a gradient jumps: see kKinkWidth
  } kind = Kind::kNone;
  int run = 0;  ///< another number, other random numbers; of kKinks an odd one shifts down, an even one up
};

/// A ReLU whose input is within rounding of zero, or a maximum that is within rounding of another element, may send
/// its gradient the one way in float32 and the other way in float64, and both are right. In a kKinks run the slopes
/// of activations are taken at inputs shifted by this many eps32 times the inputs' range, and the maxima of pools
/// at inputs that differ by as many eps32 of themselves. Inputs of the graph are exact and are not shifted.
constexpr double kKinkWidth = 4;

/// A copy of the graph with inputs for both; values of `asked` are renumbered. Noise on an activation that cancels
/// inside (a slope such as 1 - tanh^2, or x (1 + erf x) / 2) moves it by the same share of its input as well. Nodes
/// that write into their inputs keep reading the exact values.
autograd::Graph perturbable(const autograd::Graph& graph, std::vector<autograd::Value>& asked);

/// Fills these inputs of a plan of such a graph; kNone makes it the original.
void fill_perturbation(autograd::Plan& plan, const autograd::Graph& graph, const Perturbation& perturbation);

}  // namespace mixop::cli
