#include "nas/search/enas_graph.h"

#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/matmul.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/softmax.h"
#include "nas/search/enas_walk.h"

namespace mixop::nas {

using autograd::add;
using autograd::concat;
using autograd::constant;
using autograd::matmul;
using autograd::mul;
using autograd::reduce_sum;
using autograd::reshape;
using autograd::Value;
using kernels::Unary;

namespace {

std::string numbered(const char* what, size_t at) { return kernels::text(what, ".", at); }

}  // namespace

EnasGraph::EnasGraph(autograd::Graph& graph, const EnasControllerOptions& options,
                     autograd::TensorStore& parameters, int64_t archs)
    : g_(graph),
      options_(options),
      parameters_(parameters),
      archs_(archs),
      hidden_(static_cast<size_t>(options.lstm_layers), zeros()),
      cell_(hidden_) {}

Value EnasGraph::parameter(const std::string& name) {
  return g_.tensor(parameters_, name, parameters_.entry(parameters_.find(name)).shape);
}

Value EnasGraph::times(double factor, Value x) { return mul(g_, x, constant(g_, {1}, factor)); }
Value EnasGraph::function(Value x, Unary kind) { return autograd::unary(g_, x, kind); }
Value EnasGraph::zeros() { return autograd::zeros(g_, {archs_, options_.units}); }
Value EnasGraph::start() { return add(g_, zeros(), parameter("start")); }

Value EnasGraph::advance(Value input) {
  Value x = input;
  for (size_t layer = 0; layer < hidden_.size(); ++layer) {
    Value &hidden = hidden_[layer], &cell = cell_[layer];
    const std::string name = lstm_name(static_cast<int>(layer));
    Value gates = matmul(g_, concat(g_, {x, hidden}), parameter(name));
    if (parameters_.find(name + ".bias") >= 0)
      gates = add(g_, gates, reduce_sum(g_, parameter(name + ".bias"), {0}));
    const auto gate = [&](int64_t i, Unary kind) {
      return function(autograd::slice(g_, gates, i * options_.units, options_.units), kind);
    };
    const Value fresh = mul(g_, gate(0, Unary::kSigmoid), gate(3, Unary::kTanh));
    cell = add(g_, mul(g_, gate(1, Unary::kSigmoid), cell), fresh);
    x = hidden = mul(g_, gate(2, Unary::kSigmoid), function(cell, Unary::kTanh));
  }
  return x;
}

Value EnasGraph::key(Value hidden) { return matmul(g_, hidden, parameter("anchor.key")); }

Value EnasGraph::scores(const std::vector<Value>& keys, Value hidden) {
  const auto n = static_cast<int64_t>(keys.size());
  const int64_t units = options_.units;
  const Value query = reshape(g_, matmul(g_, hidden, parameter("anchor.query")), {archs_, 1, units});
  const Value sum = add(g_, reshape(g_, concat(g_, keys), {archs_, n, units}), query);
  const Value rows = reshape(g_, function(sum, Unary::kTanh), {archs_ * n, units});
  return reshape(g_, matmul(g_, rows, parameter("anchor.score")), {archs_, n});
}

Value EnasGraph::operations(Value hidden) {
  const Value logits = matmul(g_, hidden, parameter("op.weight"));
  return parameters_.find("op.bias") < 0 ? logits : add(g_, logits, parameter("op.bias"));
}

Value EnasGraph::bounded(Value logits, double bound) {
  if (options_.temperature > 0) logits = times(1 / options_.temperature, logits);
  return times(bound, function(logits, Unary::kTanh));
}

Value EnasGraph::favour(Value logits) {
  std::vector<Value> bias;
  for (int i = 0; i < options_.operations; ++i) bias.push_back(constant(g_, {1}, nas::favour(i)));
  return add(g_, logits, concat(g_, bias));
}

Value EnasGraph::choose(size_t at, Value logits) {
  const Value chosen = g_.input(numbered("choice", at), g_.shape(logits));
  log_probabilities_.push_back(
      reduce_sum(g_, mul(g_, chosen, autograd::log_softmax(g_, logits)), {-1}, /*keepdims=*/true));
  return chosen;
}

// A softmax over -l and l: log p(1) = -softplus(-2 l) = 2 l - softplus(2 l) and log p(0) = -softplus(2 l).
Value EnasGraph::skips(size_t at, Value logits) {
  const Value chosen = g_.input(numbered("skips", at), g_.shape(logits));
  const Value twice = times(2, logits);
  const Value logs = autograd::sub(g_, mul(g_, chosen, twice), function(twice, Unary::kSoftplus));
  log_probabilities_.push_back(reduce_sum(g_, logs, {-1}, /*keepdims=*/true));

  // s(l) log(s(l) / target) with log s(l) = -softplus(-l), for l and -l.
  const auto divergence = [&](Value l, double target) {
    const Value log_ratio = add(g_, function(times(-1, l), Unary::kSoftplus), constant(g_, {1}, std::log(target)));
    return times(-1, mul(g_, function(l, Unary::kSigmoid), log_ratio));
  };
  const Value both =
      add(g_, divergence(logits, options_.skip_target), divergence(times(-1, logits), 1 - options_.skip_target));
  penalties_.push_back(reduce_sum(g_, both, {-1}, /*keepdims=*/true));
  return chosen;
}

Value EnasGraph::embedding(Value choice) { return matmul(g_, choice, parameter("embedding")); }

Value EnasGraph::pick(const std::vector<Value>& rows, Value choice) {
  const auto n = static_cast<int64_t>(rows.size());
  const Value all = reshape(g_, concat(g_, rows), {archs_, n, options_.units});
  return reduce_sum(g_, mul(g_, all, reshape(g_, choice, {archs_, n, 1})), {1});
}

Value EnasGraph::mean(const std::vector<Value>& rows, Value skips) {
  const std::string& name = g_.node(skips).name;
  const Value share = g_.input("share" + name.substr(name.find('.')), {archs_, 1});
  return mul(g_, pick(rows, skips), share);
}

Value EnasGraph::log_probability() { return autograd::sum(g_, log_probabilities_); }

Value EnasGraph::skip_penalty() {
  if (penalties_.empty()) return {};
  return times(1.0 / static_cast<double>(penalties_.size()), autograd::sum(g_, penalties_));
}

void feed(autograd::Plan& plan, const EnasControllerOptions& options, const std::vector<Arch>& archs,
          const std::vector<double>& advantages) {
  const auto fill = [&](const std::string& name, const auto& value) {
    const kernels::View v = plan.input(name);
    const auto width = static_cast<size_t>(v.shape.elements()) / archs.size();
    for (size_t a = 0; a < archs.size(); ++a)
      for (size_t i = 0; i < width; ++i) {
        const double x = value(a, i, width);
        if (v.dtype == kernels::DType::kF64) v.as<double>()[a * width + i] = x;
        else v.as<float>()[a * width + i] = static_cast<float>(x);
      }
  };
  fill("advantage", [&](size_t a, size_t, size_t) { return advantages[a] / static_cast<double>(archs.size()); });
  for (size_t at = 0; at < options.length(); ++at) {
    if (const std::string name = numbered("choice", at); plan.has_input(name))
      fill(name, [&](size_t a, size_t i, size_t) { return archs[a][at] == static_cast<int32_t>(i); });
    const std::string name = numbered("skips", at);
    if (!plan.has_input(name)) continue;
    size_t count = 0;
    fill(name, [&](size_t a, size_t i, size_t width) {
      count = width;
      return archs[a][at + i];
    });
    if (const std::string share = numbered("share", at); plan.has_input(share))
      fill(share, [&](size_t a, size_t, size_t) {
        const auto first = archs[a].begin() + static_cast<std::ptrdiff_t>(at);
        return 1.0 / (1 + std::count(first, first + static_cast<std::ptrdiff_t>(count), 1));
      });
  }
}

}  // namespace mixop::nas
