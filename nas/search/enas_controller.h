// The controllers of ENAS (Pham et al. 2018), as in the authors' code: an LSTM that chooses the two cells of the
// micro space or the operations and skip connections of the macro space, and learns by REINFORCE. What one was
// asked to choose from is an attention over what it had chosen before: v^T tanh(key_j + h W). That of
// NAS-Bench-201 (Dong and Yang 2020), for cells whose edges are all there, chooses operations only.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "autograd/plan.h"
#include "nas/json.h"
#include "nas/space/space.h"

namespace mixop::nas {

enum class EnasSpace : uint8_t {
  kMicro,  ///< per cell and node: input, operation, input, operation; the normal cell, then the reduction cell
  kMacro,  ///< per layer: operation, then 0 or 1 for each earlier layer
  kEdges   ///< per edge of a cell: operation
};

/// Defaults are those of the micro script; macro() has the other's, nb201() those of the benchmark.
struct EnasControllerOptions {
  EnasSpace space = EnasSpace::kMicro;
  int nodes = 5;       ///< of a cell (micro)
  int layers = 12;     ///< of the network (macro)
  int edges = 6;       ///< of a cell (edges)
  int operations = 5;  ///< of which micro holds the first two to be convolutions
  int64_t units = 64;
  int lstm_layers = 1;
  double init = 0.1;             ///< half-width of the uniform range of all parameters
  double temperature = 0;        ///< divides logits before the tanh; 0: none
  double tanh_constant = 1.1;    ///< logits are this times their tanh
  double op_tanh_reduce = 2.5;   ///< micro: divides the constant of operations
  double entropy_weight = 1e-4;  ///< of the entropy in the reward
  double baseline_decay = 0.99;
  /// The baseline moves away from where the last epoch left it, and in the first epoch it is the accuracy: so does
  /// the code of NAS-Bench-201. Advantages are hardly ever negative then.
  bool hold_baseline = false;
  double skip_target = 0.4, skip_weight = 0.8;               ///< macro: wanted rate of skips, weight of the penalty
  double lr = 0.0035, beta1 = 0, beta2 = 0.999, eps = 1e-3;  ///< of Adam
  double clip = 0;                                           ///< global L2 norm of the gradient; 0: off
  int aggregate = 10;                                        ///< samples whose gradients are averaged per update

  static EnasControllerOptions macro();
  static EnasControllerOptions nb201();
  /// Numbers of an architecture.
  size_t length() const;
  /// Throws mixop::Error naming an option that makes no sense.
  void check() const;
};

/// Name of an LSTM layer's matrix [input and hidden state, gates]; the gates are input, forget, output, cell.
std::string lstm_name(int layer);

/// An architecture as the controller sees it.
struct EnasSample {
  Arch arch;
  double information = 0;   ///< sum of -log p over what was chosen, in nats
  double entropy = 0;       ///< sum of the entropies; macro: sum of -p log p of what was chosen
  double skip_penalty = 0;  ///< macro: mean over layers of the divergence from skip_target
  std::vector<std::vector<double>> probabilities;  ///< by number of the architecture: of each of its values
};

class EnasController {
 public:
  /// float64 is for checks. Throws mixop::Error for impossible options.
  EnasController(const EnasControllerOptions& options, uint64_t seed, kernels::DType real = kernels::DType::kF32);

  EnasSample sample(Random& random) const;
  /// The same numbers of a given architecture. Throws mixop::Error when it is none of this space.
  EnasSample measure(const Arch& arch) const;

  /// Takes the accuracy of a sample, in [0, 1]: moves the baseline, then keeps the advantage over it (in this
  /// order, as in the authors' code); with the last of `aggregate` samples it makes a step of Adam. Returns the
  /// reward.
  double learn(const EnasSample& sample, double accuracy);
  double baseline() const { return baseline_; }
  /// After the updates of an epoch.
  void end_epoch();
  /// Samples that wait for an update.
  size_t waiting() const { return archs_.size(); }

  /// d/d parameters of the mean over `aggregate` architectures of advantage * information plus skip_weight *
  /// skip_penalty, in the order of parameters().
  std::vector<double> gradient(const std::vector<Arch>& archs, const std::vector<double>& advantages);
  autograd::TensorStore& parameters() { return parameters_; }
  const EnasControllerOptions& options() const { return options_; }

  Json save() const;
  void load(const Json& state);

 private:
  struct Program {
    autograd::Value gradient;
    autograd::Plan plan;
  };
  void create_parameters();
  Program compile();
  void update();

  EnasControllerOptions options_;
  mutable autograd::TensorStore parameters_, optimizer_;  // reading a store may first fetch it from a device
  std::optional<Program> program_;                        // compiled when the first gradient is asked for
  double baseline_ = 0;
  std::optional<double> held_;  // the baseline of the last epoch, with hold_baseline
  std::vector<Arch> archs_;     // since the last update
  std::vector<double> advantages_;
};

}  // namespace mixop::nas
