#include "nas/search/enas_controller.h"

#include <algorithm>
#include <cmath>

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

size_t EnasControllerOptions::length() const {
  const auto n = static_cast<size_t>(space == EnasSpace::kMicro ? nodes : layers);
  return space == EnasSpace::kMicro ? 2 * 4 * n : n * (n + 1) / 2;
}

void EnasControllerOptions::check() const {
  const bool micro = space == EnasSpace::kMicro;
  MIXOP_CHECK(!micro || nodes >= 1, "controller: a cell needs a node, got ", nodes);
  MIXOP_CHECK(micro || layers >= 1, "controller: a network needs a layer, got ", layers);
  MIXOP_CHECK(operations >= 1 && units >= 1, "controller: no operations or no units");
  MIXOP_CHECK(aggregate >= 1, "controller: an update needs a sample, got ", aggregate);
  MIXOP_CHECK(tanh_constant > 0 && op_tanh_reduce > 0, "controller: the tanh constants must be positive");
  MIXOP_CHECK(temperature >= 0, "controller: the temperature must be positive, or 0 for none; got ", temperature);
  MIXOP_CHECK(skip_target > 0 && skip_target < 1, "controller: the rate of skips must be between 0 and 1, got ",
              skip_target);
  MIXOP_CHECK(baseline_decay >= 0 && baseline_decay < 1, "controller: the baseline's decay must be in [0, 1), got ",
              baseline_decay);
}

EnasController::EnasController(const EnasControllerOptions& options, uint64_t seed, kernels::DType real)
    : options_(options), parameters_("controller", real, seed), optimizer_("optimizer", real) {
  options_.check();
  const int64_t units = options.units, operations = options.operations;
  const Init uniform = Init::uniform(options.init);
  parameters_.find_or_create("lstm", {2 * units, 4 * units}, uniform);  // gates: input, forget, output, cell
  parameters_.find_or_create("start", {1, units}, uniform);
  parameters_.find_or_create("embedding", {operations, units}, uniform);
  parameters_.find_or_create("op.weight", {units, operations}, uniform);
  const bool micro = options.space == EnasSpace::kMicro;
  const int bias = micro ? parameters_.find_or_create("op.bias", {operations}, Init::zeros()) : -1;
  parameters_.find_or_create("anchor.key", {units, units}, uniform);
  parameters_.find_or_create("anchor.query", {units, units}, uniform);
  parameters_.find_or_create("anchor.score", {units, 1}, uniform);
  parameters_.bind();
  if (micro) {
    const kernels::View v = parameters_.view(bias);
    for (int64_t i = 0; i < std::min<int64_t>(2, operations); ++i) {
      if (real == kernels::DType::kF64) v.as<double>()[i] = 10;
      else v.as<float>()[i] = 10;
    }
  }
  for (const char* name : {"m", "v"}) optimizer_.find_or_create(name, {parameters_.elements()}, {});
  optimizer_.find_or_create("step", {1}, {});
  optimizer_.bind();
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
  baseline_ -= (1 - options_.baseline_decay) * (baseline_ - reward);
  archs_.push_back(sample.arch);
  advantages_.push_back(reward - baseline_);
  if (archs_.size() == static_cast<size_t>(options_.aggregate)) update();
  return reward;
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
// epsilon of 1e-3 and beta1 of 0 the first steps are 30 times shorter than with the correction inside.
void EnasController::update() {
  const std::vector<double> gradient = this->gradient(archs_, advantages_);
  const double step = optimizer_.get("step") + 1;
  optimizer_.set("step", step);
  const double rate =
      options_.lr * std::sqrt(1 - std::pow(options_.beta2, step)) / (1 - std::pow(options_.beta1, step));
  const auto apply = [&](auto* x, auto* m, auto* v) {
    using Real = std::remove_pointer_t<decltype(x)>;
    for (size_t i = 0; i < gradient.size(); ++i) {
      const double g = gradient[i];
      m[i] = static_cast<Real>(options_.beta1 * m[i] + (1 - options_.beta1) * g);
      v[i] = static_cast<Real>(options_.beta2 * v[i] + (1 - options_.beta2) * g * g);
      x[i] = static_cast<Real>(x[i] - rate * m[i] / (std::sqrt(double{v[i]}) + options_.eps));
    }
  };
  const kernels::View x = parameters_.flat(), m = optimizer_.view(0), v = optimizer_.view(1);
  if (x.dtype == kernels::DType::kF64) apply(x.as<double>(), m.as<double>(), v.as<double>());
  else apply(x.as<float>(), m.as<float>(), v.as<float>());
  archs_.clear();
  advantages_.clear();
}

Json EnasController::save() const {
  return {{"parameters", to_hex(parameters_)},
          {"optimizer", to_hex(optimizer_)},
          {"baseline", baseline_},
          {"archs", archs_},
          {"advantages", advantages_}};
}

void EnasController::load(const Json& state) {
  from_hex(state.at("parameters"), parameters_);
  from_hex(state.at("optimizer"), optimizer_);
  baseline_ = state.at("baseline");
  archs_ = state.at("archs").get<std::vector<Arch>>();
  advantages_ = state.at("advantages").get<std::vector<double>>();
}

}  // namespace mixop::nas
