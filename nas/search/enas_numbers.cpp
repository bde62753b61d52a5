#include "nas/search/enas_numbers.h"

#include <algorithm>
#include <cmath>

#include "kernels/core/check.h"
#include "nas/search/enas_walk.h"

namespace mixop::nas {
namespace {

using Row = EnasNumbers::Row;

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

Row log_softmax(Row logits) {
  const double top = *std::max_element(logits.begin(), logits.end());
  double sum = 0;
  for (const double x : logits) sum += std::exp(x - top);
  for (double& x : logits) x -= top + std::log(sum);
  return logits;
}

}  // namespace

EnasNumbers::EnasNumbers(const EnasControllerOptions& options, autograd::TensorStore& parameters, Random* random,
                         const Arch* given)
    : options_(options),
      units_(static_cast<size_t>(options.units)),
      hidden_(static_cast<size_t>(options.lstm_layers), Row(units_)),
      cell_(hidden_),
      random_(random),
      given_(given) {
  const bool exact = parameters.dtype() == kernels::DType::kF64;
  for (size_t i = 0; i < parameters.entries().size(); ++i) {
    const kernels::View v = parameters.view(static_cast<int>(i));
    Row& row = parameters_[parameters.entries()[i].name];
    const auto n = static_cast<size_t>(v.shape.elements());
    if (exact) row.assign(v.as<double>(), v.as<double>() + n);
    else row.assign(v.as<float>(), v.as<float>() + n);
  }
  sample_.arch.resize(options.length());
  sample_.probabilities.resize(options.length());
}

// x [K] times a matrix [K, N].
Row EnasNumbers::product(const Row& x, const std::string& matrix) const {
  const Row& w = parameters_.at(matrix);
  const size_t n = w.size() / x.size();
  Row y(n);
  for (size_t k = 0; k < x.size(); ++k)
    for (size_t i = 0; i < n; ++i) y[i] += x[k] * w[k * n + i];
  return y;
}

Row EnasNumbers::advance(const Row& input) {
  Row x = input;
  for (size_t layer = 0; layer < hidden_.size(); ++layer) {
    Row &hidden = hidden_[layer], &cell = cell_[layer];
    x.insert(x.end(), hidden.begin(), hidden.end());
    const std::string name = lstm_name(static_cast<int>(layer));
    Row gates = product(x, name);
    if (const auto bias = parameters_.find(name + ".bias"); bias != parameters_.end())
      for (size_t i = 0; i < bias->second.size(); ++i) gates[i % gates.size()] += bias->second[i];
    for (size_t u = 0; u < units_; ++u) {
      const double i = sigmoid(gates[u]), f = sigmoid(gates[units_ + u]), o = sigmoid(gates[2 * units_ + u]);
      cell[u] = f * cell[u] + i * std::tanh(gates[3 * units_ + u]);
      hidden[u] = o * std::tanh(cell[u]);
    }
    x = hidden;
  }
  return x;
}

Row EnasNumbers::scores(const std::vector<Row>& keys, const Row& hidden) {
  const Row query = product(hidden, "anchor.query");
  const Row& score = parameters_.at("anchor.score");
  Row logits;
  for (const Row& key : keys) {
    double logit = 0;
    for (size_t u = 0; u < units_; ++u) logit += score[u] * std::tanh(key[u] + query[u]);
    logits.push_back(logit);
  }
  return logits;
}

Row EnasNumbers::operations(const Row& hidden) {
  Row logits = product(hidden, "op.weight");
  if (const auto bias = parameters_.find("op.bias"); bias != parameters_.end())
    for (size_t i = 0; i < logits.size(); ++i) logits[i] += bias->second[i];
  return logits;
}

Row EnasNumbers::bounded(Row logits, double constant) const {
  for (double& x : logits) x = constant * std::tanh(options_.temperature > 0 ? x / options_.temperature : x);
  return logits;
}

Row EnasNumbers::favour(Row logits) const {
  for (size_t i = 0; i < logits.size(); ++i) logits[i] += nas::favour(static_cast<int>(i));
  return logits;
}

size_t EnasNumbers::choose(size_t at, const Row& logits) {
  const Row logs = log_softmax(logits);
  Row& odds = sample_.probabilities[at];
  odds = logs;
  for (double& x : odds) x = std::exp(x);
  const size_t choice = random_ ? random_->pick(odds) : static_cast<size_t>((*given_)[at]);
  MIXOP_CHECK(choice < odds.size(), "controller: number ", at + 1, " of the architecture is ", (*given_)[at],
              "; it must be in 0 to ", odds.size() - 1);
  sample_.arch[at] = static_cast<int32_t>(choice);
  sample_.information -= logs[choice];
  if (options_.space == EnasSpace::kMacro) {
    sample_.entropy -= odds[choice] * logs[choice];
  } else {
    for (size_t i = 0; i < odds.size(); ++i) sample_.entropy -= odds[i] * logs[i];
  }
  return choice;
}

std::vector<size_t> EnasNumbers::skips(size_t at, const Row& logits) {
  std::vector<size_t> chosen;
  double divergence = 0;
  for (const double logit : logits) {
    chosen.push_back(choose(at++, {-logit, logit}));
    const double no = sigmoid(-logit), yes = sigmoid(logit);
    divergence += no * std::log(no / (1 - options_.skip_target)) + yes * std::log(yes / options_.skip_target);
  }
  sample_.skip_penalty += divergence / (options_.layers - 1);
  return chosen;
}

Row EnasNumbers::embedding(size_t operation) const {
  const auto row = parameters_.at("embedding").begin() + static_cast<std::ptrdiff_t>(operation * units_);
  return {row, row + static_cast<std::ptrdiff_t>(units_)};
}

Row EnasNumbers::mean(const std::vector<Row>& rows, const std::vector<size_t>& skips) const {
  Row sum(units_);
  double count = 1;
  for (size_t j = 0; j < rows.size(); ++j) {
    if (!skips[j]) continue;
    ++count;
    for (size_t u = 0; u < units_; ++u) sum[u] += rows[j][u];
  }
  for (double& x : sum) x /= count;
  return sum;
}

}  // namespace mixop::nas
