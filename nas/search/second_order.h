// Second-order DARTS (Liu et al. 2019, equations 6 to 8): the gradient by the alphas of the validation loss at
// weights that have taken one more step on a training batch,
//   w' = w - xi (mu m + g + wd w), g = dL_train(w, a)/dw, not clipped, xi the learning rate, m the momentum buffer,
//   dL_val(w', a)/da - xi H v, H = d2L_train(w, a)/da dw, v = dL_val(w', a)/dw',
// with the product H v either exact, by differentiating the gradient's graph, or as in the paper
//   (dL_train(w + R v, a)/da - dL_train(w - R v, a)/da) / (2 R), R = 0.01 / |v| over all weights.
//
// All other weights than w live in a copy of the network: w itself is never written, so that nothing has to be
// undone. So do the running statistics of batch norm: those of the network move with the pass at w, as in the
// reference code; that code also moves them at w +- R v, an accident of doing this in place, and not at w'. Only
// evaluation reads them.
#pragma once

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "autograd/optimizer.h"
#include "nas/batch.h"
#include "nas/supernet.h"

namespace mixop::nas {

/// A batch's network in a graph.
struct BilevelLoss {
  Value loss, correct;  ///< [1]: mean loss of the batch, and how many were right
  Value minimised;      ///< [1]: what gradients are taken of; the loss, or more
};
/// Adds the inputs of a batch ("images", "labels") and the training network to a graph. Weights and running
/// statistics are those of `net`, alphas always the searched ones.
using BilevelNetwork = std::function<BilevelLoss(Graph& g, Stores& net, bool validation, int64_t batch)>;

/// How H v is computed.
enum class HessianProduct : uint8_t { kFiniteDifference, kExact };
std::string_view hessian_product_name(HessianProduct product);
/// Throws mixop::Error for anything but "finite-difference" and "exact".
HessianProduct parse_hessian_product(const std::string& name);

/// The tensors of a store in its order.
std::vector<Value> tensors(Graph& g, TensorStore& store);

/// The network again: stores of its own with the tensors of another's weights.
class NetworkCopy {
 public:
  explicit NetworkCopy(kernels::DType real) : net_(real, 0) {}
  /// Creates what `weights` has, in its order. Before the copy's first use.
  void follow(const TensorStore& weights);
  Stores& net() { return net_; }
  TensorStore& weights() { return net_.weights; }

 private:
  Stores net_;
};

class SecondOrder {
 public:
  struct Options {
    HessianProduct product = HessianProduct::kFiniteDifference;
    autograd::Sgd weights{};  ///< that of the weight step; clip does not count
    autograd::Adam arch{};
  };

  /// Compiles all plans for batches of these sizes into the arena. `stores` and what `network` refers to must
  /// outlive this. Learning rates are "weights.lr" and "alphas.lr" of stores.optimizer, the buffer m its
  /// "weights.momentum".
  SecondOrder(Stores& stores, BilevelNetwork network, const Options& options, const std::vector<int64_t>& train,
              const std::vector<int64_t>& valid, const autograd::CompileOptions& compile,
              std::shared_ptr<autograd::Arena> arena);

  /// One Adam step on the alphas. The score is that of the validation batch at w'.
  PendingScore begin(const Batch& valid, const Batch& train);
  /// The gradient of the last step, in the order of stores.alphas.
  std::vector<double> gradient();
  /// The plans of a step in the order they run; for reports. Throws std::out_of_range for other sizes.
  std::vector<const autograd::Plan*> plans(int64_t valid, int64_t train) const;

 private:
  struct Step {
    Value loss, correct;
    autograd::Plan plan;
  };
  using Steps = std::map<int64_t, Step>;  // by batch size

  Step unroll(int64_t batch);   // w' into the copy
  Step descend(int64_t batch);  // v and the first part of the gradient; w or w + R v into the copy
  Step rise(int64_t batch);     // the gradient at w + R v; w - R v into the copy
  Step finish(int64_t batch);   // H v, the step
  Value product(Graph& g, const BilevelLoss& train);
  Value kept(Graph& g, const char* name, int64_t elements);

  Stores& stores_;
  BilevelNetwork network_;
  Options options_;
  autograd::CompileOptions compile_;
  std::shared_ptr<autograd::Arena> arena_;
  NetworkCopy copy_;
  TensorStore direction_;  // v, like the weights
  TensorStore kept_;       // what one plan leaves for the next; nothing of it outlives a step
  Steps unroll_, descend_, rise_, finish_;
};

}  // namespace mixop::nas
