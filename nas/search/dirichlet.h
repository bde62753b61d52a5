// Dirichlet draws with derivatives by their concentrations: what one draw would have been, had the concentrations
// been a little larger (implicit reparameterisation, Figurnov et al. 2018). In double on the host.
#pragma once

#include <span>
#include <vector>

#include "nas/random.h"

namespace mixop::nas {

/// The derivative of log Gamma, x > 0.
double digamma(double x);
/// The derivative of digamma, x > 0.
double trigamma(double x);

/// A draw of Gamma(shape, 1), shape > 0, never 0 (Marsaglia and Tsang 2000; below 1 that of shape + 1 times
/// U^(1/shape)). Throws mixop::Error for another shape.
double draw_gamma(double shape, Random& random);

/// d z / d shape of a draw z > 0 of Gamma(shape, 1) at a fixed value of its distribution function F:
/// -(dF / d shape) / density(z).
double gamma_derivative(double shape, double z);

/// theta ~ Dirichlet(concentration).
struct DirichletDraw {
  std::vector<double> theta;  ///< of sum 1
  /// d theta_i / d concentration_j = slope_j (delta_ij - theta_i): theta are Gamma draws over their sum.
  std::vector<double> slope;
};
DirichletDraw draw_dirichlet(std::span<const double> concentration, Random& random);

/// KL(Dirichlet(concentration) || Dirichlet(1, ..., 1)).
double dirichlet_divergence(std::span<const double> concentration);
/// Its derivative by each concentration.
std::vector<double> dirichlet_divergence_gradient(std::span<const double> concentration);

}  // namespace mixop::nas
