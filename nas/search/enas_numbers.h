// An ENAS controller in plain loops: samples an architecture, or measures a given one. See nas/search/enas_walk.h.
#pragma once

#include <map>
#include <string>

#include "nas/search/enas_controller.h"

namespace mixop::nas {

class EnasNumbers {
 public:
  using Row = std::vector<double>;

  /// With `random` draws an architecture, else measures `given`. Reads the parameters once.
  EnasNumbers(const EnasControllerOptions& options, autograd::TensorStore& parameters, Random* random,
              const Arch* given);

  const Row& start() { return parameters_.at("start"); }
  Row zeros() const { return Row(units_); }
  Row advance(const Row& input);
  Row key(const Row& hidden) { return product(hidden, "anchor.key"); }
  Row scores(const std::vector<Row>& keys, const Row& hidden);
  Row operations(const Row& hidden);
  Row bounded(Row logits, double constant) const;
  Row favour(Row logits) const;
  size_t choose(size_t at, const Row& logits);
  std::vector<size_t> skips(size_t at, const Row& logits);
  Row embedding(size_t operation) const;
  Row pick(const std::vector<Row>& rows, size_t choice) const { return rows[choice]; }
  Row mean(const std::vector<Row>& rows, const std::vector<size_t>& skips) const;

  EnasSample take() { return std::move(sample_); }

 private:
  Row product(const Row& x, const std::string& matrix) const;

  const EnasControllerOptions& options_;
  size_t units_;
  std::map<std::string, Row> parameters_;
  std::vector<Row> hidden_, cell_;  // by layer of the LSTM
  Random* random_;
  const Arch* given_;
  EnasSample sample_;
};

}  // namespace mixop::nas
