#include "nas/search/dirichlet.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

// From here on the asymptotic series below are exact to double precision.
constexpr double kAsymptotic = 12;

/// Gamma(a, x) = e^-x x^a fraction(a, x) for x > a - 1 or so (modified Lentz method; Abramowitz and Stegun 6.5.31).
double upper_fraction(double a, double x) {
  constexpr double kTiny = 1e-300, kEnough = 1e-16;
  double b = x + 1 - a, c = 1 / kTiny, d = 1 / b, h = d;
  for (int i = 1; i < 1000; ++i) {
    const double an = -i * (i - a);
    b += 2;
    d = an * d + b;
    if (std::abs(d) < kTiny) d = kTiny;
    c = b + an / c;
    if (std::abs(c) < kTiny) c = kTiny;
    d = 1 / d;
    h *= d * c;
    if (std::abs(d * c - 1) < kEnough) break;
  }
  return h;
}

/// F(z) is the sum over n >= 0 of z^(a+n) e^-z / Gamma(a+n+1), so that the terms of -(dF/da) / density are
/// z^(n+1) / (a (a+1) .. (a+n)) times digamma(a+n+1) - log z.
double derivative_by_series(double a, double z) {
  const double log_z = std::log(z);
  double term = z / a, psi = digamma(a + 1), sum = 0;
  for (int n = 0; n < 1000; ++n) {
    const double add = term * (psi - log_z);
    sum += add;
    if (term < 1e-17 * std::abs(sum)) break;
    psi += 1 / (a + n + 1);
    term *= z / (a + n + 1);
  }
  return sum;
}

/// In the upper tail F is 1 up to rounding; there it is d(1 - F)/da / density, and (1 - F) / density is z times the
/// fraction. Only the derivative of its logarithm is a difference.
double derivative_by_fraction(double a, double z) {
  const double h = 1e-5 * std::max(a, 0.1);
  const double log_slope = (std::log(upper_fraction(a + h, z)) - std::log(upper_fraction(a - h, z))) / (2 * h);
  return z * upper_fraction(a, z) * (std::log(z) - digamma(a) + log_slope);
}

}  // namespace

double digamma(double x) {
  double result = 0;
  for (; x < kAsymptotic; ++x) result -= 1 / x;
  const double y = 1 / (x * x);
  return result + std::log(x) - 0.5 / x -
         y * (1.0 / 12 - y * (1.0 / 120 - y * (1.0 / 252 - y * (1.0 / 240 - y * (1.0 / 132 - y * 691.0 / 32760)))));
}

double trigamma(double x) {
  double result = 0;
  for (; x < kAsymptotic; ++x) result += 1 / (x * x);
  const double y = 1 / (x * x);
  return result + 1 / x + 0.5 * y +
         y / x * (1.0 / 6 - y * (1.0 / 30 - y * (1.0 / 42 - y * (1.0 / 30 - y * (5.0 / 66 - y * 691.0 / 2730)))));
}

double draw_gamma(double shape, Random& random) {
  MIXOP_CHECK(shape > 0 && std::isfinite(shape), "gamma: a shape of ", shape, "; expected a number above 0");
  const double boost = shape < 1 ? std::pow(1 - random.uniform(), 1 / shape) : 1;
  const double d = (shape < 1 ? shape + 1 : shape) - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  for (;;) {
    const double x = random.normal(), v = std::pow(1 + c * x, 3), u = 1 - random.uniform();
    if (v > 0 && std::log(u) < 0.5 * x * x + d * (1 - v + std::log(v)))
      return std::max(d * v * boost, std::numeric_limits<double>::min());
  }
}

double gamma_derivative(double shape, double z) {
  return z < shape + 1 ? derivative_by_series(shape, z) : derivative_by_fraction(shape, z);
}

DirichletDraw draw_dirichlet(std::span<const double> concentration, Random& random) {
  DirichletDraw draw;
  for (const double a : concentration) {
    draw.theta.push_back(draw_gamma(a, random));
    draw.slope.push_back(gamma_derivative(a, draw.theta.back()));
  }
  const double sum = std::accumulate(draw.theta.begin(), draw.theta.end(), 0.0);
  for (double& v : draw.theta) v /= sum;
  for (double& v : draw.slope) v /= sum;
  return draw;
}

double dirichlet_divergence(std::span<const double> concentration) {
  const double sum = std::accumulate(concentration.begin(), concentration.end(), 0.0);
  double result = std::lgamma(sum) - std::lgamma(static_cast<double>(concentration.size()));
  for (const double a : concentration) result += (a - 1) * (digamma(a) - digamma(sum)) - std::lgamma(a);
  return result;
}

std::vector<double> dirichlet_divergence_gradient(std::span<const double> concentration) {
  const double sum = std::accumulate(concentration.begin(), concentration.end(), 0.0);
  const double common = (sum - static_cast<double>(concentration.size())) * trigamma(sum);
  std::vector<double> gradient;
  for (const double a : concentration) gradient.push_back((a - 1) * trigamma(a) - common);
  return gradient;
}

}  // namespace mixop::nas
