// An ENAS controller as a graph over several given architectures at once, to be differentiated. A Row is a value
// [architectures, ...]; what was chosen is fed. See nas/search/enas_walk.h.
#pragma once

#include <string>
#include <vector>

#include "autograd/ops/unary.h"
#include "nas/search/enas_controller.h"

namespace mixop::nas {

class EnasGraph {
 public:
  using Row = autograd::Value;

  EnasGraph(autograd::Graph& graph, const EnasControllerOptions& options, autograd::TensorStore& parameters,
            int64_t archs);

  Row start();
  Row zeros();
  Row advance(Row input);
  Row key(Row hidden);
  Row scores(const std::vector<Row>& keys, Row hidden);
  Row operations(Row hidden);
  Row bounded(Row logits, double constant);
  Row favour(Row logits);
  Row choose(size_t at, Row logits);
  Row skips(size_t at, Row logits);
  Row embedding(Row choice);
  Row pick(const std::vector<Row>& rows, Row choice);
  Row mean(const std::vector<Row>& rows, Row skips);

  /// [architectures, 1]: sum of log p of what was chosen.
  Row log_probability();
  /// [architectures, 1]: mean over layers; empty in the micro space.
  Row skip_penalty();

 private:
  Row parameter(const std::string& name);
  Row times(double factor, Row x);
  Row function(Row x, kernels::Unary kind);

  autograd::Graph& g_;
  const EnasControllerOptions& options_;
  autograd::TensorStore& parameters_;
  int64_t archs_;
  std::vector<Row> hidden_, cell_;  // by layer of the LSTM
  std::vector<Row> log_probabilities_, penalties_;
};

/// Fills the inputs of a plan of that graph.
void feed(autograd::Plan& plan, const EnasControllerOptions& options, const std::vector<Arch>& archs,
          const std::vector<double>& advantages);

}  // namespace mixop::nas
