// How close two results must be; the one place where that is defined.
//
// float64: within 1e-9 of the tensor's largest magnitude.
// float32: within c eps m with eps = 2^-23, c = 4 sqrt(longest reduction) and m the magnitude of the tensor.
//
// c: a sum of n terms, each rounded, is off by about sqrt(n) roundings (a random walk); 4 leaves room for its tail.
// m: the largest expected element, or more where the operation cancels, which the expected result alone cannot
// show: the gradient of a batch norm over two pixels is 1e-5 of the terms it is made of, and a float32 result that
// is right to the last bit of these terms is off by a per cent. So m is measured on the reference: the float64
// graph runs once as it is and a few times with every input rounded to float32 and every intermediate result
// multiplied by 1 + eps u, u uniform in [-1, 1] (Monte Carlo arithmetic, Parker 1997); the largest change, divided
// by eps, is the magnitude that one rounding per result really has there. The same m sets the floor under the
// float64 bound, c eps64 m.
#pragma once

#include <vector>

#include "autograd/graph.h"
#include "autograd/plan.h"

namespace mixop::cli {

constexpr double kEps32 = 0x1p-23, kEps64 = 0x1p-52;
constexpr double kFloat64Bound = 1e-9;

/// The largest number of terms that one element of any node sums, from shapes alone: multiply-adds per output of
/// convolutions and products, the axis of a softmax, the window of a pooling, elements read per element written of
/// all others. At least 1.
double longest_reduction(const autograd::Graph& graph);

/// c = 4 sqrt(longest_reduction).
double tolerance_factor(const autograd::Graph& graph);

/// Largest absolute value; NaN counts as infinite.
double largest(const std::vector<double>& values);

/// How many noisy runs measure a magnitude.
constexpr int kNoisyRuns = 3;

/// A copy of the graph in which every float result of a node is multiplied by an input that stands for its
/// rounding; the values of `asked` are renumbered to the products. Nodes that write into their inputs keep reading
/// the exact values.
autograd::Graph with_noise(const autograd::Graph& graph, std::vector<autograd::Value>& asked);

/// Fills those inputs with 1 + eps u, u uniform in [-1, 1], a function of the run's number and the node.
void fill_noise(autograd::Plan& plan, const autograd::Graph& noisy, int run);

}  // namespace mixop::cli
