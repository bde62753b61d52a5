#include "nas/search/mlp_ensemble.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace mixop::nas {

using Eigen::Index;
using Eigen::MatrixXf;
using Eigen::VectorXf;

namespace {

using Matrix = Eigen::Map<const MatrixXf>;
using Vector = Eigen::Map<const VectorXf>;

}  // namespace

Mlp::Mlp(Index inputs, const MlpOptions& options, Random& random) : options_(options) {
  Index size = 0;
  for (int i = 0; i <= options.layers; ++i) {
    const Index outputs = i < options.layers ? options.width : 1;
    layers_.push_back({inputs, outputs, size});
    size += (inputs + 1) * outputs;
    inputs = outputs;
  }
  parameters_ = VectorXf::Zero(size);
  for (const Layer& l : layers_) {
    const double range = std::sqrt(6.0 / static_cast<double>(l.inputs + l.outputs));
    for (Index i = 0; i < l.inputs * l.outputs; ++i)
      parameters_(l.offset + i) = static_cast<float>(random.uniform(-range, range));
  }
}

VectorXf Mlp::predict(const MatrixXf& x) const {
  MatrixXf y = x;
  for (const Layer& l : layers_) {
    const float* p = parameters_.data() + l.offset;
    MatrixXf next = Matrix(p, l.outputs, l.inputs) * y;
    next.colwise() += Vector(p + l.inputs * l.outputs, l.outputs);
    y = &l == &layers_.back() ? next : MatrixXf(next.cwiseMax(0));
  }
  return y.row(0);
}

VectorXf Mlp::gradient(const MatrixXf& x, const VectorXf& targets) const {
  std::vector<MatrixXf> in = {x};  // of each layer, then the output
  for (const Layer& l : layers_) {
    const float* p = parameters_.data() + l.offset;
    MatrixXf next = Matrix(p, l.outputs, l.inputs) * in.back();
    next.colwise() += Vector(p + l.inputs * l.outputs, l.outputs);
    if (&l != &layers_.back()) next = next.cwiseMax(0);
    in.push_back(std::move(next));
  }
  VectorXf result(parameters_.size());
  MatrixXf dy = (in.back().row(0) - targets.transpose()).cwiseSign() / static_cast<float>(x.cols());
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& l = layers_[i];
    float* to = result.data() + l.offset;
    Eigen::Map<MatrixXf>(to, l.outputs, l.inputs).noalias() = dy * in[i].transpose();
    Eigen::Map<VectorXf>(to + l.inputs * l.outputs, l.outputs) = dy.rowwise().sum();
    if (i == 0) break;
    const MatrixXf back = Matrix(parameters_.data() + l.offset, l.outputs, l.inputs).transpose() * dy;
    dy = (in[i].array() > 0).select(back, 0);
  }
  return result;
}

void Mlp::train(const MatrixXf& x, const VectorXf& targets, Random& random) {
  constexpr double kEps = 1e-7;  // as in Keras, which the published code uses
  const auto beta1 = static_cast<float>(options_.beta1), beta2 = static_cast<float>(options_.beta2);
  VectorXf m = VectorXf::Zero(parameters_.size()), v = m;
  std::vector<Index> order(static_cast<size_t>(x.cols()));
  std::iota(order.begin(), order.end(), Index{0});
  int64_t step = 0;
  for (int epoch = 0; epoch < options_.epochs; ++epoch) {
    random.shuffle(order);
    for (size_t begin = 0; begin < order.size(); begin += static_cast<size_t>(options_.batch)) {
      const size_t end = std::min(order.size(), begin + static_cast<size_t>(options_.batch));
      const std::vector<Index> batch(order.begin() + static_cast<int64_t>(begin),
                                     order.begin() + static_cast<int64_t>(end));
      const VectorXf g = gradient(x(Eigen::all, batch), targets(batch));
      ++step;
      m = beta1 * m + (1 - beta1) * g;
      v = beta2 * v + (1 - beta2) * g.cwiseAbs2();
      const double correct1 = 1 - std::pow(options_.beta1, step), correct2 = 1 - std::pow(options_.beta2, step);
      const auto rate = static_cast<float>(options_.lr * std::sqrt(correct2) / correct1);
      parameters_.array() -= rate * m.array() / (v.array().sqrt() + static_cast<float>(kEps));
    }
  }
}

EnsemblePrediction train_ensemble(int members, const MlpOptions& options, const MatrixXf& known,
                                  const VectorXf& targets, const MatrixXf& x, Random& random) {
  MatrixXf predictions(x.cols(), members);
  for (int i = 0; i < members; ++i) {
    Mlp mlp(known.rows(), options, random);
    mlp.train(known, targets, random);
    predictions.col(i) = mlp.predict(x);
  }
  EnsemblePrediction p;
  p.mean = predictions.rowwise().mean();
  p.deviation = (predictions.colwise() - p.mean).rowwise().norm() / std::sqrt(static_cast<float>(members));
  return p;
}

}  // namespace mixop::nas
