#include "nas/search/controller_walk.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

// y += x w, w [x.size(), y.size()].
void add_product(const std::vector<double>& x, const float* w, std::vector<double>& y) {
  const size_t n = y.size();
  for (size_t k = 0; k < x.size(); ++k)
    for (size_t i = 0; i < n; ++i) y[i] += x[k] * double{w[k * n + i]};
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

ControllerNet::ControllerNet(const std::vector<int>& kinds, int layers, int width, double init, uint64_t seed)
    : units(width), parameters("controller", kernels::DType::kF32, seed) {
  for (const int values : kinds) {
    first_token.push_back(tokens);
    tokens += values;
  }
  const auto uniform = autograd::Init::uniform(init), zeros = autograd::Init::zeros();
  embedding = parameters.find_or_create("embedding", {tokens + 1, units}, uniform);
  for (int i = 0; i < layers; ++i) {
    const std::string name = kernels::text("lstm.", i, ".");
    lstm.push_back({parameters.find_or_create(name + "input", {units, 4 * units}, uniform),
                    parameters.find_or_create(name + "state", {units, 4 * units}, uniform),
                    parameters.find_or_create(name + "bias", {4 * units}, zeros)});
  }
  head = parameters.find_or_create("head", {units, tokens}, uniform);
  head_bias = parameters.find_or_create("head.bias", {tokens}, zeros);
  previous = parameters.find_or_create("anchor.previous", {units, units}, uniform);
  current = parameters.find_or_create("anchor.current", {units, units}, uniform);
  score = parameters.find_or_create("anchor.score", {units, 1}, uniform);
}

ControllerWalk::ControllerWalk(ControllerNet& net) : net_(net), token_(net.start_token()) {
  const std::vector<double> zeros(static_cast<size_t>(net.units));
  states_.resize(net.lstm.size(), {zeros, zeros});
}

void ControllerWalk::advance() {
  const auto n = static_cast<size_t>(net_.units);
  const float* row = weights(net_.embedding) + token_ * net_.units;
  std::vector<double> x(row, row + n), gates(4 * n);
  for (size_t layer = 0; layer < states_.size(); ++layer) {
    const ControllerNet::Lstm& p = net_.lstm[layer];
    State& s = states_[layer];
    std::copy_n(weights(p.bias), 4 * n, gates.begin());
    add_product(x, weights(p.input), gates);
    add_product(s.hidden, weights(p.state), gates);
    for (size_t i = 0; i < n; ++i) {
      s.cell[i] = sigmoid(gates[n + i]) * s.cell[i] + sigmoid(gates[i]) * std::tanh(gates[2 * n + i]);
      s.hidden[i] = sigmoid(gates[3 * n + i]) * std::tanh(s.cell[i]);
    }
    x = s.hidden;
  }
}

double ControllerWalk::anchor_logit(const Decision& d) {
  const auto from = anchors_.find(d.source);
  MIXOP_CHECK(from != anchors_.end(), "controller: layer ", d.layer, " may take layer ", d.source,
              ", which nothing was decided of");
  std::vector<double> sum(static_cast<size_t>(net_.units));
  add_product(from->second, weights(net_.previous), sum);
  add_product(states_.back().hidden, weights(net_.current), sum);
  double logit = 0;
  for (size_t i = 0; i < sum.size(); ++i) logit += std::tanh(sum[i]) * double{weights(net_.score)[i]};
  return logit;
}

std::vector<double> ControllerWalk::next(const Decision& d) {
  advance();
  const std::vector<double>& hidden = states_.back().hidden;
  std::vector<double> logits;
  const double anchor = d.source >= 0 ? anchor_logit(d) : 0;
  for (const int32_t value : d.legal) {
    const int64_t token = net_.token(d.kind, value);
    double logit = value * anchor;
    if (d.source < 0) {
      logit = double{weights(net_.head_bias)[token]};
      for (size_t i = 0; i < hidden.size(); ++i)
        logit += hidden[i] * double{weights(net_.head)[static_cast<int64_t>(i) * net_.tokens + token]};
    }
    logits.push_back(logit);
  }
  anchors_[d.layer] = hidden;
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double x : logits) sum += std::exp(x - top);
  for (double& x : logits) x -= top + std::log(sum);
  return logits;
}

}  // namespace mixop::nas
