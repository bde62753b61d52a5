// Small multilayer perceptrons that predict one number, and an ensemble whose spread is an uncertainty (White et
// al. 2021, BANANAS). Dense loops with Eigen rather than plans: the training set grows with every use, and a plan
// would be compiled anew for each of its sizes.
#pragma once

#include <Eigen/Core>
#include <vector>

#include "nas/random.h"

namespace mixop::nas {

struct MlpOptions {
  int layers = 10, width = 20;                  ///< hidden layers, each followed by a ReLU
  double lr = 0.01, beta1 = 0.9, beta2 = 0.99;  ///< of Adam
  int epochs = 150, batch = 32;
};

class Mlp {
 public:
  /// Weights are uniform in the range of Glorot and Bengio (2010), biases 0.
  Mlp(Eigen::Index inputs, const MlpOptions& options, Random& random);

  /// Shuffles the columns of `x` [inputs, n] into batches and follows the gradient of the mean absolute error.
  void train(const Eigen::MatrixXf& x, const Eigen::VectorXf& targets, Random& random);
  Eigen::VectorXf predict(const Eigen::MatrixXf& x) const;
  /// Derivatives of the mean absolute error on one batch, in the order of parameters().
  Eigen::VectorXf gradient(const Eigen::MatrixXf& x, const Eigen::VectorXf& targets) const;
  /// Weights [outputs, inputs] by columns, then biases, layer by layer.
  Eigen::VectorXf& parameters() { return parameters_; }

 private:
  struct Layer {
    Eigen::Index inputs, outputs, offset;
  };
  MlpOptions options_;
  std::vector<Layer> layers_;
  Eigen::VectorXf parameters_;
};

/// Mean and (population) standard deviation of the members' predictions at the columns of `x`; members differ in
/// their initial weights and in the order of their batches.
struct EnsemblePrediction {
  Eigen::VectorXf mean, deviation;
};
EnsemblePrediction train_ensemble(int members, const MlpOptions& options, const Eigen::MatrixXf& known,
                                  const Eigen::VectorXf& targets, const Eigen::MatrixXf& x, Random& random);

}  // namespace mixop::nas
