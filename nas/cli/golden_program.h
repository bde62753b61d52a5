// A golden case as a graph: inputs, parameters and outputs by the manifest's names, then values and gradients.
#pragma once

#include <array>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "autograd/plan.h"
#include "nas/cli/golden_case.h"
#include "nas/cli/golden_values.h"
#include "nas/cli/perturb.h"
#include "nas/layers.h"

namespace mixop::cli {

/// In which arithmetic a case is evaluated.
struct Arithmetic {
  kernels::DType real = kernels::DType::kF64;
  kernels::Device device = kernels::Device::kCpu;
  Perturbation perturbation = {};  ///< of float64
  bool perturbed() const { return perturbation.kind != Perturbation::Kind::kNone; }
  /// Noise stands for float32, whose inputs are rounded.
  bool rounded_inputs() const { return perturbation.kind == Perturbation::Kind::kNoise; }
};

struct Evaluation {
  double factor = 4;                         ///< c of tolerance.h
  std::map<std::string, Values> values;      ///< of the manifest's tensors, in the file's order
  std::map<std::string, double> magnitudes;  ///< known beyond the expected values
  std::vector<std::string> not_covered;      ///< tensors that this program cannot compute yet
};

/// Builders of operations ask it for inputs and parameters and give it outputs; what they leave over is not
/// covered.
class Program {
 public:
  Program(const GoldenCase& golden, kernels::DType real)
      : g(real), weights("weights", real), state("state", real), case_(golden) {}

  autograd::Graph g;
  autograd::TensorStore weights;  ///< tensors created here take the manifest's input of their name
  autograd::TensorStore state;    ///< running statistics
  nas::Layers layers() { return {g, weights}; }

  const std::string& op() const { return case_.op; }
  bool has(const std::string& name) const;
  const Extents& extents(const std::string& name) const { return case_.at(name).shape; }
  /// An input of the case, with its shape in the graph or, for kPlain, the shape `as`.
  autograd::Value input(const std::string& name, Layout layout = Layout::kPlain, const kernels::Shape& as = {});
  /// The inputs x0, x1, ...
  std::vector<autograd::Value> numbered_inputs(Layout layout);
  /// An integer input, int32 in the graph.
  autograd::Value labels(const std::string& name, const kernels::Shape& as = {});
  /// A tensor of `state` that starts with the values of the input `name`; as output `after` it is read after the
  /// run.
  autograd::Value running(const std::string& name, const std::string& after);

  /// Parameters of the manifest. Throws NotCovered when the value is of another type.
  bool given(const std::string& name) const { return case_.params.contains(name); }
  int integer(const std::string& name, int otherwise);
  double number(const std::string& name, double otherwise);
  bool flag(const std::string& name, bool otherwise);
  std::string text(const std::string& name, const std::string& otherwise);
  std::vector<std::string> texts(const std::string& name);
  std::vector<double> numbers(const std::string& name);
  /// A number or a pair [h, w].
  std::array<int, 2> pair(const std::string& name, std::array<int, 2> otherwise);
  void ignore(const std::string& name) { used_.insert("param " + name); }

  void output(const std::string& name, autograd::Value v, Layout layout = Layout::kPlain);
  /// The only output of the case, whatever its name.
  void output(autograd::Value v, Layout layout = Layout::kPlain);

  /// For cases that need no graph of one run: marks tensors as used; throws NotCovered when the manifest has
  /// inputs, outputs or parameters that nobody asked for.
  void use(const std::string& name) { used_.insert(name); }
  void check_all_used() const;

  /// Outputs, gradients and updated state. Call once, after building.
  Evaluation evaluate(const Arithmetic& arithmetic);

 private:
  struct Bound {
    std::string name;
    autograd::Value value;
    Layout layout = Layout::kPlain;
  };
  template <class T>
  T param(const std::string& name, const T& otherwise);
  void take_weights();
  void add_gradients();
  void fill(autograd::Plan& plan, bool rounded);

  const GoldenCase& case_;
  std::vector<Bound> inputs_, outputs_, gradients_, weights_;
  std::map<std::string, std::string> running_;  // output -> input
  std::set<std::string> used_;
};

}  // namespace mixop::cli
