// How close two results must be; the one place where that is defined.
//
// float64: within 1e-9 of the tensor's largest magnitude.
// float32: within c eps m + 4 j with eps = 2^-23, c = 4 sqrt(longest reduction), m the magnitude of the tensor and
// j the jump of its gradient at kinks, 0 in most cases.
//
// c: a sum of n terms, each rounded, is off by about sqrt(n) roundings (a random walk); 4 leaves room for its tail.
// m: the largest expected element, or more where the operation cancels, which the expected result alone cannot
// show: the gradient of a batch norm over two pixels is 1e-5 of the terms it is made of, and a float32 result that
// is right to the last bit of these terms is off by a per cent. So m is measured on the reference: the float64
// graph runs once as it is and a few times with its inputs rounded to float32 and every intermediate result moved
// by noise of one eps (perturb.h); the largest change, divided by eps, is the magnitude that a rounding has there.
// The same m sets the floor under the float64 bound, c eps64 m. j: the largest change when gradients are sent the
// other way wherever a ReLU or a maximum is within rounding of doing so (perturb.h).
#pragma once

#include <algorithm>
#include <vector>

#include "autograd/graph.h"
#include "nas/cli/perturb.h"

namespace mixop::cli {

/// c: tolerance_factor; size: largest expected element; m, j as above. m may be 0 where it is not known.
constexpr double float32_bound(double c, double m, double j) { return c * kEps32 * m + 4 * j; }
constexpr double float64_bound(double c, double size, double m) { return std::max(1e-9 * size, c * kEps64 * m); }

/// The runs that measure m and j.
constexpr Perturbation kPerturbations[] = {{Perturbation::Kind::kNoise, 0},
                                           {Perturbation::Kind::kNoise, 1},
                                           {Perturbation::Kind::kNoise, 2},
                                           {Perturbation::Kind::kKinks, 0},
                                           {Perturbation::Kind::kKinks, 1}};

/// The largest number of terms that one element of any node sums, from shapes alone: multiply-adds per output of
/// convolutions and products, the axis of a softmax, the window of a pooling, elements read per element written of
/// all others. At least 1.
double longest_reduction(const autograd::Graph& graph);

/// c = 4 sqrt(longest_reduction).
double tolerance_factor(const autograd::Graph& graph);

/// Largest absolute value; NaN counts as infinite.
double largest(const std::vector<double>& values);

}  // namespace mixop::cli
