// Gaussian process regression (Rasmussen and Williams 2006, chapters 2 and 5): a constant times a stationary
// kernel, plus noise.
#pragma once

#include <Eigen/Cholesky>
#include <string>

namespace mixop::nas {

enum class Kernel : uint8_t { kRbf, kMatern32, kMatern52 };
/// "rbf", "matern32" or "matern52"; throws mixop::Error otherwise.
Kernel find_kernel(const std::string& name);

struct GaussianProcessOptions {
  Kernel kernel = Kernel::kMatern52;
  double length = 1;    ///< length scale, > 0, in the units of the inputs
  double variance = 1;  ///< the constant: prior variance of the function, > 0
  double noise = 1e-2;  ///< variance of the noise, relative to `variance`, > 0
};

class GaussianProcess {
 public:
  struct Prediction {
    Eigen::VectorXd mean, deviation;  ///< of the function, without noise
  };

  explicit GaussianProcess(const GaussianProcessOptions& options) : options_(options) {}

  /// What is known: a row of features and a target for each point. O(n^3), as all that changes the process.
  /// Throws mixop::Error when the numbers differ.
  void set_data(const Eigen::MatrixXd& inputs, const Eigen::VectorXd& targets);
  /// At the rows of `inputs`; before any data the prior.
  Prediction predict(const Eigen::MatrixXd& inputs) const;
  /// Logarithm of the marginal likelihood of the targets.
  double log_likelihood() const;

  /// Maximises the likelihood: length scale by doubling and halving and noise by factors of ten as long as that
  /// helps, from where they are, the variance in closed form at each; at most 60 trials.
  void fit();

  const GaussianProcessOptions& options() const { return options_; }
  void set_options(const GaussianProcessOptions& options);

 private:
  double correlation(double squared_distance) const;
  Eigen::MatrixXd squared_distances(const Eigen::MatrixXd& to) const;

  GaussianProcessOptions options_;
  Eigen::MatrixXd inputs_, distances_;
  Eigen::VectorXd targets_;
  Eigen::LLT<Eigen::MatrixXd> factor_;  // of correlations plus noise
  Eigen::VectorXd weights_;             // (correlations + noise)^-1 targets
};

}  // namespace mixop::nas
