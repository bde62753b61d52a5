// A recurrent controller (Zoph and Le 2017) one decision at a time, for sampling: the forward pass of
// nas/search/controller.h in plain loops.
#pragma once

#include <map>
#include <vector>

#include "autograd/params.h"
#include "nas/space/space.h"

namespace mixop::nas {

/// The controller's parameters. Every value of every kind of decision is a token, which is what is embedded and
/// what the head has a logit for; one more token starts an architecture.
struct ControllerNet {
  struct Lstm {
    int input, state,
        bias;  ///< [units, 4 units], the same, [4 units]; gates in the order input, forget, cell, output
  };

  ControllerNet(const std::vector<int>& kinds, int layers, int units, double init, uint64_t seed);

  int64_t token(int kind, int32_t value) const { return first_token[static_cast<size_t>(kind)] + value; }
  int64_t start_token() const { return tokens; }

  int64_t units, tokens = 0;
  std::vector<int64_t> first_token;  ///< by kind
  autograd::TensorStore parameters;  ///< float; indices of its entries:
  int embedding;                     ///< [tokens + 1, units]
  std::vector<Lstm> lstm;            ///< by layer
  int head, head_bias;               ///< [units, tokens], [tokens]
  int previous, current, score;      ///< of anchor points: [units, units], the same, [units, 1]
};

class ControllerWalk {
 public:
  /// Reads the parameters, which must be bound and outlive it.
  explicit ControllerWalk(ControllerNet& net);

  /// Logarithms of the probabilities of d.legal. Each next() is followed by a choose().
  std::vector<double> next(const Decision& d);
  void choose(const Decision& d, int32_t value) { token_ = net_.token(d.kind, value); }

 private:
  struct State {
    std::vector<double> hidden, cell;
  };
  const float* weights(int entry) { return net_.parameters.view(entry).as<float>(); }
  void advance();
  double anchor_logit(const Decision& d);

  ControllerNet& net_;
  int64_t token_;
  std::vector<State> states_;                   // by LSTM layer
  std::map<int, std::vector<double>> anchors_;  // by layer of the architecture: its last hidden state
};

}  // namespace mixop::nas
