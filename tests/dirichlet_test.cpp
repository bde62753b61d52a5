// Dirichlet draws: their moments, and their derivatives by the concentrations.
#include "nas/search/dirichlet.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

/// The distribution function of Gamma(a, 1) by Simpson's rule in s, x = s^p, with p a so large that the integrand
/// x^(a-1) e^-x dx / ds = p s^(pa-1) e^-x is smooth at 0.
double distribution(double a, double x) {
  const int n = 1000;
  const double p = 8 / a, end = std::pow(x, 1 / p), h = end / n;
  const auto at = [&](double s) { return p * std::pow(s, p * a - 1) * std::exp(-std::pow(s, p)); };
  double sum = at(0) + at(end);
  for (int i = 1; i < n; ++i) sum += (i % 2 ? 4 : 2) * at(i * h);
  return sum * h / 3 / std::tgamma(a);
}

/// The x at which the distribution function is u.
double quantile(double a, double u, double near) {
  double low = near / 2, high = near * 2;
  for (int i = 0; i < 50; ++i) {
    const double middle = (low + high) / 2;
    (distribution(a, middle) < u ? low : high) = middle;
  }
  return (low + high) / 2;
}

TEST(Dirichlet, Polygammas) {
  const double euler = 0.57721566490153286, pi2 = M_PI * M_PI;
  EXPECT_NEAR(digamma(1), -euler, 1e-14);
  EXPECT_NEAR(digamma(0.5), -euler - 2 * std::log(2.0), 1e-14);
  EXPECT_NEAR(digamma(30), std::log(30) - 1.0 / 60 - 1.0 / 10800 + 1.0 / (120 * 810000.0), 1e-11);
  EXPECT_NEAR(trigamma(1), pi2 / 6, 1e-14);
  EXPECT_NEAR(trigamma(0.5), pi2 / 2, 1e-13);
  EXPECT_NEAR(trigamma(3), pi2 / 6 - 1.25, 1e-14);
}

TEST(Dirichlet, MomentsOfGamma) {
  Random random(3);
  const int n = 40000;
  for (const double a : {0.05, 0.4, 1.0, 2.5, 9.0}) {
    double sum = 0, squares = 0;
    for (int i = 0; i < n; ++i) {
      const double z = draw_gamma(a, random);
      ASSERT_GT(z, 0);
      sum += z;
      squares += z * z;
    }
    const double mean = sum / n, variance = squares / n - mean * mean;
    EXPECT_NEAR(mean, a, 5 * std::sqrt(a / n)) << a;
    // The variance of the sample variance is (kurtosis - 1) variance^2 / n, the kurtosis 3 + 6/a.
    EXPECT_NEAR(variance, a, 5 * a * std::sqrt((2 + 6 / a) / n)) << a;
  }
}

TEST(Dirichlet, DerivativeOfGammaAtAFixedQuantile) {
  const double h = 1e-3;
  for (const double a : {0.3, 0.8, 1.0, 1.7, 4.0})
    for (const double z : {0.01 * a, 0.5 * a, 0.99 * (a + 1), 1.01 * (a + 1), a + 4}) {
      const double u = distribution(a, z);
      const double numeric = (quantile(a + h, u, z) - quantile(a - h, u, z)) / (2 * h);
      EXPECT_NEAR(gamma_derivative(a, z), numeric, 1e-4 * std::abs(numeric)) << "a " << a << ", z " << z;
    }
  // Both branches agree where they meet.
  for (const double a : {0.2, 1.0, 3.0})
    EXPECT_NEAR(gamma_derivative(a, (a + 1) * (1 - 1e-9)), gamma_derivative(a, (a + 1) * (1 + 1e-9)), 1e-7) << a;
}

TEST(Dirichlet, DerivativeFarFromTheMean) {
  // Small z: F = z^a / (a Gamma(a)) in the limit, thus dz/da = -z (log z - digamma(a + 1)) / a.
  for (const double z : {1e-200, 1e-20, 1e-8})
    EXPECT_NEAR(gamma_derivative(0.1, z) / (-z * (std::log(z) - digamma(1.1)) / 0.1), 1, 1e-7) << z;
  // Shape 1 in the tail: 1 - F = Gamma(a, z) / Gamma(a), so that dz/da tends to log z + Euler's constant
  // + (1 - 1 / z) / z.
  for (const double z : {30.0, 300.0})
    EXPECT_NEAR(gamma_derivative(1, z), std::log(z) + 0.57721566490153286 + (1 - 1 / z) / z, 3 / (z * z * z)) << z;
}

TEST(Dirichlet, DrawsAndTheirDerivativesHaveTheRightMeans) {
  const std::vector<double> a = {0.5, 1, 1.2, 3};
  const double total = std::accumulate(a.begin(), a.end(), 0.0);
  const int n = 60000;
  Random random(5);
  std::vector<double> mean(4), square(4), slope(16), slope_square(16);
  for (int s = 0; s < n; ++s) {
    const DirichletDraw draw = draw_dirichlet(a, random);
    ASSERT_NEAR(std::accumulate(draw.theta.begin(), draw.theta.end(), 0.0), 1, 1e-12);
    for (size_t i = 0; i < 4; ++i) {
      mean[i] += draw.theta[i] / n;
      square[i] += draw.theta[i] * draw.theta[i] / n;
      for (size_t j = 0; j < 4; ++j) {
        const double d = draw.slope[j] * ((i == j) - draw.theta[i]);
        slope[4 * i + j] += d / n;
        slope_square[4 * i + j] += d * d / n;
      }
    }
  }
  for (size_t i = 0; i < 4; ++i) {
    const double m = a[i] / total, variance = m * (1 - m) / (total + 1);
    EXPECT_NEAR(mean[i], m, 5 * std::sqrt(variance / n));
    EXPECT_NEAR(square[i] - mean[i] * mean[i], variance, 0.03 * variance);
    for (size_t j = 0; j < 4; ++j) {
      // E[d theta_i / d a_j] is d E[theta_i] / d a_j = (delta_ij - a_i / total) / total.
      const double deviation = std::sqrt(slope_square[4 * i + j] - slope[4 * i + j] * slope[4 * i + j]);
      EXPECT_NEAR(slope[4 * i + j], ((i == j) - m) / total, 5 * deviation / std::sqrt(n)) << i << " " << j;
    }
  }
}

TEST(Dirichlet, Divergence) {
  const std::vector<double> ones(8, 1.0), a = {0.3, 1.4, 0.9, 2.2};
  EXPECT_NEAR(dirichlet_divergence(ones), 0, 1e-13);
  for (const double g : dirichlet_divergence_gradient(ones)) EXPECT_NEAR(g, 0, 1e-13);
  // Of Beta(2, 1), density 2x: the integral of 2x log 2x is log 2 - 1/2.
  EXPECT_NEAR(dirichlet_divergence(std::vector<double>{2, 1}), std::log(2) - 0.5, 1e-13);
  const std::vector<double> gradient = dirichlet_divergence_gradient(a);
  for (size_t i = 0; i < a.size(); ++i) {
    std::vector<double> up = a, down = a;
    up[i] += 1e-5;
    down[i] -= 1e-5;
    EXPECT_NEAR(gradient[i], (dirichlet_divergence(up) - dirichlet_divergence(down)) / 2e-5, 1e-7);
  }
}

TEST(Dirichlet, RefusesWhatIsNoShape) {
  Random random(1);
  EXPECT_THROW(draw_gamma(0, random), Error);
  EXPECT_THROW(draw_gamma(-1, random), Error);
  EXPECT_THROW(draw_gamma(std::nan(""), random), Error);
}

}  // namespace
}  // namespace mixop::nas
