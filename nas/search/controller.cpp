#include "nas/search/controller.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "autograd/optimizer.h"
#include "kernels/core/check.h"
#include "nas/search/saved_store.h"

namespace mixop::nas {
namespace {

using autograd::add;
using autograd::Graph;
using autograd::matmul;
using autograd::mul;
using autograd::reduce_sum;
using autograd::TensorStore;
using autograd::Value;
using kernels::Shape;

constexpr float kForbidden = -1e9f;  // added to the logits of values that may not be chosen

std::vector<int> kinds_of(const Space& space) {
  std::vector<int> kinds = space.kinds();
  MIXOP_CHECK(!kinds.empty(), "controller: ", space.name(),
              " is not built step by step; evolution or random search take it");
  return kinds;
}

// In the order of the store's entries.
Value packed_gradient(Graph& g, Value gain, TensorStore& parameters) {
  std::vector<Value> tensors;
  for (const TensorStore::Entry& e : parameters.entries()) tensors.push_back(g.tensor(parameters, e.name, e.shape));
  std::vector<Value> gradients = autograd::gradients(g, gain, tensors);
  for (size_t i = 0; i < tensors.size(); ++i)
    if (!gradients[i]) gradients[i] = autograd::zeros(g, g.shape(tensors[i]));
  return autograd::pack(g, gradients);
}

// Builds the forward pass over padded architectures. Rows are (architecture, step), steps within architectures.
class ControllerGraph {
 public:
  ControllerGraph(Graph& graph, ControllerNet& net, int64_t archs, int64_t steps)
      : g_(graph), net_(net), archs_(archs), steps_(steps) {}

  // Logits over all tokens, [rows, tokens].
  Value logits(bool anchors) {
    const int64_t rows = archs_ * steps_;
    Value x = matmul(g_, g_.input("previous", {rows, net_.tokens + 1}), parameter(net_.embedding));
    for (const ControllerNet::Lstm& p : net_.lstm) x = lstm(x, p);
    Value logits = add(g_, matmul(g_, x, parameter(net_.head)), parameter(net_.head_bias));
    if (anchors) {
      const Value others = g_.input("not_anchor", {rows, 1}), yes = g_.input("anchor_yes", {rows, net_.tokens});
      logits = add(g_, mul(g_, logits, others), mul(g_, yes, anchor_logits(x)));
    }
    return add(g_, logits, g_.input("forbidden", {rows, net_.tokens}));
  }

 private:
  Value parameter(int entry) {
    const TensorStore::Entry& e = net_.parameters.entry(entry);
    return g_.tensor(net_.parameters, e.name, e.shape);
  }

  // x [rows, units] -> hidden states, likewise.
  Value lstm(Value x, const ControllerNet::Lstm& p) {
    const int64_t n = net_.units;
    const Value all = autograd::reshape(g_, add(g_, matmul(g_, x, parameter(p.input)), parameter(p.bias)),
                                        {archs_, steps_ * 4 * n});
    Value hidden, cell;
    std::vector<Value> states;
    for (int64_t t = 0; t < steps_; ++t) {
      Value gates = autograd::slice(g_, all, t * 4 * n, 4 * n);
      if (hidden) gates = add(g_, gates, matmul(g_, hidden, parameter(p.state)));
      const auto gate = [&](int64_t i, kernels::Unary kind) {
        return autograd::unary(g_, autograd::slice(g_, gates, i * n, n), kind);
      };
      using kernels::Unary;
      const Value fresh = mul(g_, gate(0, Unary::kSigmoid), gate(2, Unary::kTanh));
      cell = cell ? add(g_, mul(g_, gate(1, Unary::kSigmoid), cell), fresh) : fresh;
      hidden = mul(g_, gate(3, Unary::kSigmoid), autograd::unary(g_, cell, Unary::kTanh));
      states.push_back(hidden);
    }
    return autograd::reshape(g_, autograd::concat(g_, states), {archs_ * steps_, n});
  }

  // [rows, 1]; of rows without anchor any number.
  Value anchor_logits(Value hidden) {
    const Value sources = g_.input("sources", {archs_ * steps_, steps_});
    std::vector<Value> earlier;
    for (int64_t a = 0; a < archs_; ++a)
      earlier.push_back(matmul(g_, autograd::slice_axis(g_, sources, 0, a * steps_, steps_),
                               autograd::slice_axis(g_, hidden, 0, a * steps_, steps_)));
    const Value sum = add(g_, matmul(g_, autograd::concat(g_, earlier, 0), parameter(net_.previous)),
                          matmul(g_, hidden, parameter(net_.current)));
    return matmul(g_, autograd::unary(g_, sum, kernels::Unary::kTanh), parameter(net_.score));
  }

  Graph& g_;
  ControllerNet& net_;
  int64_t archs_, steps_;
};

}  // namespace

Controller::Controller(const Space& space, const ControllerOptions& options, uint64_t seed)
    : space_(space),
      options_(options),
      net_(kinds_of(space), options.layers, options.units, options.init, seed),
      optimizer_("optimizer", kernels::DType::kF32) {
  net_.parameters.bind();
  // Under the names that autograd::adam() looks for.
  const Shape flat{net_.parameters.elements()};
  for (const char* name : {"controller.m", "controller.v"}) optimizer_.find_or_create(name, flat, {});
  for (const char* name : {"controller.step", "controller.lr"}) optimizer_.find_or_create(name, {1}, {});
  optimizer_.bind();
  optimizer_.set("controller.lr", options.lr);
}

Arch Controller::sample(Random& random) {
  Arch arch;
  ControllerWalk walk(net_);
  for (Decision d; space_.next(arch, d);) {
    std::vector<double> odds = walk.next(d);
    for (double& x : odds) x = std::exp(x);
    arch.push_back(d.legal[random.pick(odds)]);
    walk.choose(d, arch.back());
  }
  return arch;
}

std::vector<double> Controller::log_probabilities(const Arch& arch) {
  std::vector<double> result;
  ControllerWalk walk(net_);
  for (const Decision& d : decisions(arch)) {
    const int32_t value = arch[result.size()];
    const auto at = std::lower_bound(d.legal.begin(), d.legal.end(), value) - d.legal.begin();
    result.push_back(walk.next(d)[static_cast<size_t>(at)]);
    walk.choose(d, value);
  }
  return result;
}

std::vector<Decision> Controller::decisions(const Arch& arch) const {
  std::vector<Decision> all;
  Arch prefix;
  for (Decision d; space_.next(prefix, d);) {
    all.push_back(d);
    prefix.push_back(arch[prefix.size()]);
  }
  return all;
}

Controller::Program Controller::compile(const Size& size) {
  const int64_t rows = size.archs * size.steps;
  Graph g;
  const Value logits = ControllerGraph(g, net_, size.archs, size.steps).logits(size.anchors);
  const Value all = autograd::log_softmax(g, logits);
  const Value chosen = reduce_sum(g, mul(g, all, g.input("chosen", {rows, net_.tokens})), {-1});
  std::vector<Value> asked = {chosen};
  Value gradient;
  if (size.task != Task::kRead) {
    Value gain = reduce_sum(g, mul(g, chosen, g.input("weight", {rows})));
    if (options_.entropy > 0) {
      const Value information = reduce_sum(g, mul(g, autograd::softmax(g, logits), all), {-1});
      gain = autograd::sub(g, gain, reduce_sum(g, mul(g, information, g.input("entropy", {rows}))));
    }
    if (size.task == Task::kGradient) {
      gradient = packed_gradient(g, gain, net_.parameters);
      asked.push_back(gradient);
    } else {
      const Value loss = autograd::sub(g, autograd::zeros(g, {1}), gain);
      asked.push_back(autograd::adam(g, loss, net_.parameters, optimizer_, {}).step);
    }
  }
  // One thread: the products are small, and seeds run beside each other.
  return {chosen, gradient, autograd::Plan(g, asked, nullptr, {.threads = 1})};
}

Controller::Program& Controller::run(Task task, const std::vector<Arch>& archs, const PerDecision& weights) {
  Size size{task, static_cast<int64_t>(archs.size()), 0, false};
  std::vector<std::vector<Decision>> all;
  for (const Arch& arch : archs) {
    all.push_back(decisions(arch));
    size.steps = std::max(size.steps, static_cast<int64_t>(arch.size()));
    for (const Decision& d : all.back()) size.anchors |= d.source >= 0;
  }
  auto found = programs_.find(size);
  if (found == programs_.end()) found = programs_.emplace(size, compile(size)).first;
  autograd::Plan& plan = found->second.plan;

  const auto cleared = [&](const char* name) {
    if (!plan.has_input(name)) return static_cast<float*>(nullptr);
    const kernels::View v = plan.input(name);
    std::fill_n(v.as<float>(), v.shape.elements(), 0.0f);
    return v.as<float>();
  };
  float *previous = cleared("previous"), *chosen = cleared("chosen"), *forbidden = cleared("forbidden");
  float *weight = cleared("weight"), *entropy = cleared("entropy");
  float *sources = cleared("sources"), *yes = cleared("anchor_yes"), *not_anchor = cleared("not_anchor");
  const float share = 1.0f / static_cast<float>(archs.size());
  for (size_t a = 0; a < archs.size(); ++a) {
    int64_t token = net_.start_token();
    std::map<int, int64_t> last;  // step of each layer
    for (size_t t = 0; t < archs[a].size(); ++t) {
      const Decision& d = all[a][t];
      const int64_t row = static_cast<int64_t>(a) * size.steps + static_cast<int64_t>(t);
      previous[row * (net_.tokens + 1) + token] = 1;
      token = net_.token(d.kind, archs[a][t]);
      chosen[row * net_.tokens + token] = 1;
      std::fill_n(forbidden + row * net_.tokens, net_.tokens, kForbidden);
      for (const int32_t value : d.legal) forbidden[row * net_.tokens + net_.token(d.kind, value)] = 0;
      if (weight) weight[row] = static_cast<float>(weights[a][t]) * share;
      if (entropy) entropy[row] = static_cast<float>(options_.entropy) * share;
      if (not_anchor) not_anchor[row] = d.source < 0;
      if (d.source >= 0) {
        sources[row * size.steps + last.at(d.source)] = 1;
        yes[row * net_.tokens + net_.token(d.kind, 1)] = 1;
      }
      last[d.layer] = static_cast<int64_t>(t);
    }
  }
  plan.run();
  return found->second;
}

PerDecision Controller::log_probabilities(const std::vector<Arch>& archs) {
  Program& program = run(Task::kRead, archs, {});
  const float* values = program.plan.output(program.log_probabilities).as<float>();
  size_t steps = 0;
  for (const Arch& arch : archs) steps = std::max(steps, arch.size());
  PerDecision result;
  for (size_t a = 0; a < archs.size(); ++a)
    result.emplace_back(values + a * steps, values + a * steps + archs[a].size());
  return result;
}

void Controller::update(const std::vector<Arch>& archs, const PerDecision& weights) {
  run(Task::kUpdate, archs, weights);
}

std::vector<float> Controller::gradient(const std::vector<Arch>& archs, const PerDecision& weights) {
  Program& program = run(Task::kGradient, archs, weights);
  const float* values = program.plan.output(program.gradient).as<float>();
  return {values, values + net_.parameters.elements()};
}

Json Controller::save() const {
  return {{"parameters", to_hex(net_.parameters)}, {"optimizer", to_hex(optimizer_)}};
}

void Controller::load(const Json& state) {
  from_hex(state.at("parameters"), net_.parameters);
  from_hex(state.at("optimizer"), optimizer_);
}

}  // namespace mixop::nas
