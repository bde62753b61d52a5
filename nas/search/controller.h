// The recurrent controller of reinforcement-learning searches (Zoph and Le 2017): an LSTM whose output at each step
// is a softmax over the values of one decision, and whose next input is the value chosen. Whether a layer takes an
// earlier one is the paper's anchor point, sigmoid(v^T tanh(W_prev h_j + W_curr h_i)), with one LSTM step for each
// pair, so that every anchor knows those before it; h_j is the last hidden state of layer j.
#pragma once

#include <map>

#include "autograd/plan.h"
#include "nas/json.h"
#include "nas/search/controller_walk.h"

namespace mixop::nas {

struct ControllerOptions {
  int layers = 1, units = 100;
  double init = 0.1;  ///< half-width of the uniform range of all weights; biases begin at 0
  double lr = 3.5e-4;
  double entropy = 0;  ///< weight of the entropy bonus
};

/// One number for each decision of each architecture.
using PerDecision = std::vector<std::vector<double>>;

class Controller {
 public:
  /// Throws mixop::Error when the space is not built step by step. The space must outlive the controller.
  Controller(const Space& space, const ControllerOptions& options, uint64_t seed);

  Arch sample(Random& random);
  /// Logarithm of the probability of each decision, in plain loops.
  std::vector<double> log_probabilities(const Arch& arch);
  /// The same for several in one run of a plan.
  PerDecision log_probabilities(const std::vector<Arch>& archs);
  /// One step of Adam up the mean over the architectures of the sum over their decisions of weight times
  /// log-probability plus options.entropy times the entropy.
  void update(const std::vector<Arch>& archs, const PerDecision& weights);
  /// The direction that update() would go: the gradient of that mean, in the order of net().parameters.
  std::vector<float> gradient(const std::vector<Arch>& archs, const PerDecision& weights);

  ControllerNet& net() { return net_; }

  Json save() const;
  void load(const Json& state);

 private:
  struct Program {
    autograd::Value log_probabilities, gradient;
    autograd::Plan plan;
  };
  enum class Task : uint8_t { kRead, kGradient, kUpdate };
  // What a plan depends on.
  struct Size {
    Task task;
    int64_t archs, steps;  // steps of the longest
    bool anchors;
    auto operator<=>(const Size&) const = default;
  };
  std::vector<Decision> decisions(const Arch& arch) const;
  Program compile(const Size& size);
  Program& run(Task task, const std::vector<Arch>& archs, const PerDecision& weights);

  const Space& space_;
  ControllerOptions options_;
  mutable ControllerNet net_;  // reading a store may first fetch it from a device
  mutable autograd::TensorStore optimizer_;
  std::map<Size, Program> programs_;
};

}  // namespace mixop::nas
