#include "nas/search/enas_controller.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "kernels/core/check.h"
#include "nas/search/enas_graph.h"
#include "nas/search/enas_numbers.h"
#include "nas/search/enas_walk.h"
#include "nas/search/saved_store.h"

namespace mixop::nas {

using autograd::Graph;
using autograd::Init;
using autograd::Value;

EnasControllerOptions EnasControllerOptions::macro() {
  return {.space = EnasSpace::kMacro, .operations = 6, .tanh_constant = 1.5, .lr = 0.001, .aggregate = 20};
}

EnasControllerOptions EnasControllerOptions::nb201() {
  return {.space = EnasSpace::kEdges,
          .units = 32,
          .lstm_layers = 2,
          .temperature = 5,
          .tanh_constant = 2.5,
          .lr = 0.001,
          .clip = 5,
          .aggregate = 20};
}

size_t EnasControllerOptions::length() const {
  const auto n = static_cast<size_t>(layers);
  switch (space) {
    case EnasSpace::kMicro:
      return 2 * 4 * static_cast<size_t>(nodes);
    case EnasSpace::kMacro:
      return n * (n + 1) / 2;
    case EnasSpace::kEdges:
      break;
  }
  return static_cast<size_t>(edges);
}

void EnasControllerOptions::check() const {
  MIXOP_CHECK(space != EnasSpace::kMicro || nodes >= 1, "controller: a cell needs a node, got ", nodes);
  MIXOP_CHECK(space != EnasSpace::kMacro || layers >= 1, "controller: a network needs a layer, got ", layers);
  MIXOP_CHECK(space != EnasSpace::kEdges || edges >= 1, "controller: a cell needs an edge, got ", edges);
  MIXOP_CHECK(operations >= 1 && units >= 1, "controller: no operations or no units");
  MIXOP_CHECK(lstm_layers >= 1, "controller: an LSTM needs a layer, got ", lstm_layers);
  MIXOP_CHECK(clip >= 0, "controller: the bound of the gradient must be positive, or 0 for none; got ", clip);
  MIXOP_CHECK(aggregate >= 1, "controller: an update needs a sample, got ", aggregate);
  MIXOP_CHECK(tanh_constant > 0 && op_tanh_reduce > 0, "controller: the tanh constants must be positive");
  MIXOP_CHECK(temperature >= 0, "controller: the temperature must be positive, or 0 for none; got ", temperature);
  MIXOP_CHECK(skip_target > 0 && skip_target < 1, "controller: the rate of skips must be between 0 and 1, got ",
              skip_target);
  MIXOP_CHECK(baseline_decay >= 0 && baseline_decay < 1, "controller: the baseline's decay must be in [0, 1), got ",
              baseline_decay);
}

std::string lstm_name(int layer) { return layer ? kernels::text("lstm.", layer) : "lstm"; }

EnasController::EnasController(const EnasControllerOptions& options, uint64_t seed, kernels::DType real)
    : options_(options), parameters_("controller", real, seed), optimizer_("optimizer", real) {
  options_.check();
  create_parameters();
  parameters_.bind();
  if (options.space == EnasSpace::kMicro) {
    const kernels::View v = parameters_.view(parameters_.find("op.bias"));
    for (int64_t i = 0; i < std::min(2, options.operations); ++i) {
      if (real == kernels::DType::kF64) v.as<double>()[i] = 10;
      else v.as<float>()[i] = 10;
    }
  }
  for (const char* name : {"m", "v"}) optimizer_.find_or_create(name, {parameters_.elements()}, {});
  optimizer_.find_or_create("step", {1}, {});
  optimizer_.bind();
}

void EnasController::create_parameters() {
  const int64_t units = options_.units, operations = options_.operations;
  const bool edges = options_.space == EnasSpace::kEdges;
  // The controller of NAS-Bench-201 is made of PyTorch's modules: what its code gives no range has theirs.
  const Init uniform = Init::uniform(options_.init),
             theirs = Init::uniform(1 / std::sqrt(static_cast<double>(units)));
  for (int layer = 0; layer < options_.lstm_layers; ++layer) {
    const std::string name = lstm_name(layer);
    parameters_.find_or_create(name, {2 * units, 4 * units}, edges && layer > 0 ? theirs : uniform);
    // Two, of the input and of the state, whose sum learns twice as fast as one would.
    if (edges) parameters_.find_or_create(name + ".bias", {2, 4 * units}, theirs);
  }
  parameters_.find_or_create("start", {1, units}, uniform);
  parameters_.find_or_create("embedding", {operations, units}, uniform);
  parameters_.find_or_create("op.weight", {units, operations}, uniform);
  if (options_.space != EnasSpace::kMacro)
    parameters_.find_or_create("op.bias", {operations}, edges ? theirs : Init::zeros());
  if (edges) return;
  parameters_.find_or_create("anchor.key", {units, units}, uniform);
  parameters_.find_or_create("anchor.query", {units, units}, uniform);
  parameters_.find_or_create("anchor.score", {units, 1}, uniform);
}

EnasSample EnasController::sample(Random& random) const {
  EnasNumbers numbers(options_, parameters_, &random, nullptr);
  walk(numbers, options_);
  return numbers.take();
}

EnasSample EnasController::measure(const Arch& arch) const {
  MIXOP_CHECK(arch.size() == options_.length(), "controller: an architecture of ", arch.size(), " numbers; ",
              options_.length(), " are needed");
  EnasNumbers numbers(options_, parameters_, nullptr, &arch);
  walk(numbers, options_);
  return numbers.take();
}

double EnasController::learn(const EnasSample& sample, double accuracy) {
  const double reward = accuracy + options_.entropy_weight * sample.entropy;
  if (options_.hold_baseline) baseline_ = held_.value_or(accuracy);
  if (held_ || !options_.hold_baseline) baseline_ -= (1 - options_.baseline_decay) * (baseline_ - reward);
  archs_.push_back(sample.arch);
  advantages_.push_back(reward - baseline_);
  if (archs_.size() == static_cast<size_t>(options_.aggregate)) update();
  return reward;
}

void EnasController::end_epoch() {
  if (options_.hold_baseline) held_ = baseline_;
}

EnasController::Program EnasController::compile() {
  const int64_t archs = options_.aggregate;
  Graph g(parameters_.dtype());
  EnasGraph graph(g, options_, parameters_, archs);
  walk(graph, options_);
  const Value advantage = g.input("advantage", {archs, 1});
  Value loss = autograd::mul(g, graph.log_probability(), advantage);
  loss = autograd::sub(g, autograd::zeros(g, {1}), autograd::reduce_sum(g, loss));
  if (const Value penalty = graph.skip_penalty()) {
    const Value weight = autograd::constant(g, {1}, options_.skip_weight / static_cast<double>(archs));
    loss = autograd::add(g, loss, autograd::mul(g, weight, autograd::reduce_sum(g, penalty)));
  }
  std::vector<Value> tensors;
  for (const auto& e : parameters_.entries()) tensors.push_back(g.tensor(parameters_, e.name, e.shape));
  std::vector<Value> gradients = autograd::gradients(g, loss, tensors);
  for (size_t i = 0; i < tensors.size(); ++i)  // what a network of one layer never reads
    if (!gradients[i]) gradients[i] = autograd::zeros(g, g.shape(tensors[i]));
  const Value gradient = autograd::pack(g, gradients);
  // One thread: the products are small.
  return {gradient, autograd::Plan(g, {gradient}, nullptr, {.threads = 1})};
}

std::vector<double> EnasController::gradient(const std::vector<Arch>& archs,
                                             const std::vector<double>& advantages) {
  MIXOP_CHECK(archs.size() == static_cast<size_t>(options_.aggregate) && advantages.size() == archs.size(),
              "controller: a gradient of ", archs.size(), " samples; it averages ", options_.aggregate);
  if (!program_) program_.emplace(compile());
  feed(program_->plan, options_, archs, advantages);
  program_->plan.run();
  const kernels::View v = program_->plan.output(program_->gradient);
  const auto n = static_cast<size_t>(v.shape.elements());
  if (v.dtype == kernels::DType::kF64) return {v.as<double>(), v.as<double>() + n};
  return {v.as<float>(), v.as<float>() + n};
}

// TensorFlow's Adam, which the authors used: epsilon is added to the root of v before v is corrected. With their
// epsilon of 1e-3 and beta1 of 0 the first steps are 30 times shorter than with the correction inside, which is
// PyTorch's way and that of NAS-Bench-201.
void EnasController::update() {
  std::vector<double> gradient = this->gradient(archs_, advantages_);
  if (options_.clip > 0) {
    const double norm = std::sqrt(std::inner_product(gradient.begin(), gradient.end(), gradient.begin(), 0.0));
    if (norm > options_.clip)
      for (double& x : gradient) x *= options_.clip / norm;
  }
  const double step = optimizer_.get("step") + 1;
  optimizer_.set("step", step);
  const double correction = std::sqrt(1 - std::pow(options_.beta2, step));
  const double rate = options_.lr * correction / (1 - std::pow(options_.beta1, step));
  const double eps = options_.eps * (options_.space == EnasSpace::kEdges ? correction : 1);
  const auto apply = [&](auto* x, auto* m, auto* v) {
    using Real = std::remove_pointer_t<decltype(x)>;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double g = gradient[i];
      m[i] = static_cast<Real>(options_.beta1 * m[i] + (1 - options_.beta1) * g);
      v[i] = static_cast<Real>(options_.beta2 * v[i] + (1 - options_.beta2) * g * g);
      x[i] = static_cast<Real>(x[i] - rate * m[i] / (std::sqrt(double{v[i]}) + eps));
    }
  };
  const kernels::View x = parameters_.flat(), m = optimizer_.view(0), v = optimizer_.view(1);
  if (x.dtype == kernels::DType::kF64) apply(x.as<double>(), m.as<double>(), v.as<double>());
  else apply(x.as<float>(), m.as<float>(), v.as<float>());
  archs_.clear();
  advantages_.clear();
}

Json EnasController::save() const {
  Json state = {{"parameters", to_hex(parameters_)},
                {"optimizer", to_hex(optimizer_)},
                {"baseline", baseline_},
                {"archs", archs_},
                {"advantages", advantages_}};
  if (held_) state["held"] = *held_;
  return state;
}

void EnasController::load(const Json& state) {
  from_hex(state.at("parameters"), parameters_);
  from_hex(state.at("optimizer"), optimizer_);
  baseline_ = state.at("baseline");
  held_.reset();
  if (state.contains("held")) held_ = state.at("held").get<double>();
  archs_ = state.at("archs").get<std::vector<Arch>>();
  advantages_ = state.at("advantages").get<std::vector<double>>();
}

}  // namespace mixop::nas
