#include "nas/search/gaussian_process.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {

using Eigen::MatrixXd;
using Eigen::VectorXd;

Kernel find_kernel(const std::string& name) {
  if (name == "rbf") return Kernel::kRbf;
  if (name == "matern32") return Kernel::kMatern32;
  MIXOP_CHECK(name == "matern52", "unknown kernel '", name, "'; there are: rbf, matern32, matern52");
  return Kernel::kMatern52;
}

double GaussianProcess::correlation(double squared_distance) const {
  const double squared = squared_distance / (options_.length * options_.length);
  switch (options_.kernel) {
    case Kernel::kRbf:
      return std::exp(-squared / 2);
    case Kernel::kMatern32: {
      const double r = std::sqrt(3 * squared);
      return (1 + r) * std::exp(-r);
    }
    case Kernel::kMatern52:
      break;
  }
  const double r = std::sqrt(5 * squared);
  return (1 + r + r * r / 3) * std::exp(-r);
}

// Rows of the inputs against rows of `to`.
MatrixXd GaussianProcess::squared_distances(const MatrixXd& to) const {
  MatrixXd d = -2 * inputs_ * to.transpose();
  d.colwise() += inputs_.rowwise().squaredNorm();
  d.rowwise() += to.rowwise().squaredNorm().transpose();
  return d.cwiseMax(0);
}

void GaussianProcess::set_data(const MatrixXd& inputs, const VectorXd& targets) {
  MIXOP_CHECK(inputs.rows() == targets.size(), "gaussian process: ", targets.size(), " targets for ", inputs.rows(),
              " inputs");
  inputs_ = inputs;
  targets_ = targets;
  distances_ = squared_distances(inputs);
  set_options(options_);
}

void GaussianProcess::set_options(const GaussianProcessOptions& options) {
  options_ = options;
  if (inputs_.rows() == 0) return;
  MatrixXd k = distances_.unaryExpr([this](double d) { return correlation(d); });
  k.diagonal().setConstant(1 + options_.noise);
  factor_.compute(k);
  MIXOP_CHECK(factor_.info() == Eigen::Success, "gaussian process: the kernel matrix is singular; more noise than ",
              options_.noise, " is needed");
  weights_ = factor_.solve(targets_);
}

GaussianProcess::Prediction GaussianProcess::predict(const MatrixXd& inputs) const {
  const double prior = std::sqrt(options_.variance);
  if (inputs_.rows() == 0) return {VectorXd::Zero(inputs.rows()), VectorXd::Constant(inputs.rows(), prior)};
  MatrixXd cross = squared_distances(inputs).unaryExpr([this](double d) { return correlation(d); });
  Prediction p;
  p.mean = cross.transpose() * weights_;
  factor_.matrixL().solveInPlace(cross);
  p.deviation = prior * (1 - cross.colwise().squaredNorm().transpose().array()).max(1e-12).sqrt();
  return p;
}

double GaussianProcess::log_likelihood() const {
  const auto n = static_cast<double>(targets_.size());
  const double determinant =
      2 * factor_.matrixLLT().diagonal().array().log().sum() + n * std::log(options_.variance);
  return -0.5 * (targets_.dot(weights_) / options_.variance + determinant + n * std::log(2 * M_PI));
}

void GaussianProcess::fit() {
  constexpr double kLeastNoise = 1e-6, kMostNoise = 10, kLeastLength = 1e-2, kMostLength = 1e3;
  if (targets_.size() < 2) return;
  const auto rate = [this](GaussianProcessOptions o) {
    set_options(o);
    options_.variance = std::max(targets_.dot(weights_) / static_cast<double>(targets_.size()), 1e-12);
    return log_likelihood();
  };
  double best = rate(options_);
  GaussianProcessOptions best_options = options_;
  int trials = 60;
  for (bool better = true; better;) {
    better = false;
    for (const auto& [length, noise] : {std::pair{2.0, 1.0}, {0.5, 1.0}, {1.0, 10.0}, {1.0, 0.1}}) {
      while (trials-- > 0) {
        GaussianProcessOptions o = best_options;
        o.length = std::clamp(o.length * length, kLeastLength, kMostLength);
        o.noise = std::clamp(o.noise * noise, kLeastNoise, kMostNoise);
        const double value = rate(o);
        if (value <= best) break;
        best = value;
        best_options = options_;
        better = true;
      }
    }
  }
  set_options(best_options);
}

}  // namespace mixop::nas
