// The generic runner over case objects (case.h).
#pragma once

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "autograd/plan.h"
#include "tests/support/case.h"

namespace mixop::test {

using Tensors = std::map<std::string, std::vector<double>>;  ///< by name, contiguous

/// A case compiled in one precision: forward outputs, then the gradients of its differentiable inputs.
class CaseProgram {
 public:
  struct Result {
    std::string name;
    std::vector<double> values;
  };

  CaseProgram(const Case& c, kernels::DType real, autograd::CompileOptions options = {});
  /// Random inputs and upstream gradients, rounded to float32 so that both precisions see the same numbers.
  Tensors inputs() const;
  std::vector<Result> run(const Tensors& inputs);
  const autograd::Plan& plan() const { return plan_; }
  autograd::Plan& plan() { return plan_; }
  int forward_outputs() const { return forward_; }
  /// Inputs in the graph by name: the case's own and "g_0", "g_1", ... for upstream gradients.
  const std::vector<CaseInput>& all_inputs() const { return inputs_; }
  const autograd::Graph& graph() const { return graph_; }

 private:
  autograd::Graph graph_;
  std::string name_;
  std::vector<CaseInput> inputs_;
  std::vector<std::pair<std::string, autograd::Value>> asked_;
  int forward_ = 0;
  autograd::Plan plan_;

  static autograd::Plan compile(CaseProgram& self, const Case& c, const autograd::CompileOptions& options);
};

/// Reference gradients against central differences in float64, along random directions.
void check_gradients(const Case& c);
/// float32 kernels (fused, poisoned, guarded) against the float64 reference of the unfused graph. `options` may ask
/// for a device and for implementations.
void check_against_reference(const Case& c, const autograd::CompileOptions& options = {});
/// The same on a CUDA device, once with the fixed choice and once with each implementation that is not chosen.
void check_device(const Case& c);
/// On a CUDA device: node by node, replayed from a graph and in pinned mode, the same bits.
void check_device_bits(const Case& c);
/// Planned and pinned modes, one thread and two, first and second run: the same bits.
void check_bits(const Case& c);

}  // namespace mixop::test
