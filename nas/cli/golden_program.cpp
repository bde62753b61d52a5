#include "nas/cli/golden_program.h"

#include <algorithm>

#include "autograd/ops/copy.h"
#include "nas/cli/tolerance.h"

namespace mixop::cli {

using autograd::Plan;
using autograd::Value;
using kernels::DType;
using kernels::Shape;

namespace {

Values rounded_to_float32(Values v) {
  for (double& x : v) x = static_cast<float>(x);
  return v;
}

}  // namespace

bool Program::has(const std::string& name) const { return case_.has(name) && case_.at(name).role == "input"; }

Value Program::input(const std::string& name, Layout layout, const Shape& as) {
  MIXOP_CHECK(has(name), "the manifest has no input '", name, "'");
  MIXOP_CHECK(!case_.at(name).integers, "input '", name, "' must be float64");
  used_.insert(name);
  const Value v = g.input(name, as.rank() ? as : graph_shape(extents(name), layout));
  inputs_.push_back({name, v, layout});
  return v;
}

std::vector<Value> Program::numbered_inputs(Layout layout) {
  std::vector<Value> values;
  for (std::string name = "x0"; has(name); name = kernels::text("x", values.size()))
    values.push_back(input(name, layout));
  return values;
}

Value Program::labels(const std::string& name, const Shape& as) {
  MIXOP_CHECK(has(name), "the manifest has no input '", name, "'");
  MIXOP_CHECK(case_.at(name).integers, "input '", name, "' must be int64");
  used_.insert(name);
  const Value v = g.input(name, as.rank() ? as : graph_shape(extents(name), Layout::kPlain), DType::kI32);
  inputs_.push_back({name, v});
  return v;
}

Value Program::running(const std::string& name, const std::string& after) {
  MIXOP_CHECK(has(name), "the manifest has no input '", name, "'");
  used_.insert(name);
  if (case_.has(after)) running_[after] = name;
  return g.tensor(state, name, graph_shape(extents(name), Layout::kPlain));
}

template <class T>
T Program::param(const std::string& name, const T& otherwise) {
  ignore(name);
  const auto it = case_.params.find(name);
  if (it == case_.params.end()) return otherwise;
  try {
    return it->get<T>();
  } catch (const nlohmann::json::exception&) {
    throw NotCovered("parameter '" + name + "' = " + it->dump() + " of " + op());
  }
}

int Program::integer(const std::string& name, int otherwise) {
  const double v = number(name, otherwise);
  MIXOP_CHECK(v == static_cast<int>(v), "parameter '", name, "' = ", v, " must be an integer");
  return static_cast<int>(v);
}
double Program::number(const std::string& name, double otherwise) { return param<double>(name, otherwise); }
bool Program::flag(const std::string& name, bool otherwise) {
  if (given(name) && case_.params.at(name).is_number()) return number(name, 0) != 0;
  return param<bool>(name, otherwise);
}
std::string Program::text(const std::string& name, const std::string& otherwise) {
  return param<std::string>(name, otherwise);
}
std::vector<std::string> Program::texts(const std::string& name) {
  MIXOP_CHECK(given(name), "the manifest has no parameter '", name, "'");
  return param<std::vector<std::string>>(name, {});
}

std::vector<double> Program::numbers(const std::string& name) { return param<std::vector<double>>(name, {}); }

std::array<int, 2> Program::pair(const std::string& name, std::array<int, 2> otherwise) {
  if (!given(name)) return otherwise;
  if (!case_.params.at(name).is_array()) {
    const int v = integer(name, 0);
    return {v, v};
  }
  const auto v = param<std::vector<int>>(name, {});
  MIXOP_CHECK(v.size() == 1 || v.size() == 2, "parameter '", name, "' must be a number or a pair [h, w]");
  return {v.front(), v.back()};
}

void Program::output(const std::string& name, Value v, Layout layout) {
  const Extents& file = case_.at(name).shape;
  const int64_t expected = static_cast<int64_t>(case_.at(name).values.size());
  const bool same_axes = static_cast<size_t>(g.shape(v).rank()) == file.size();
  MIXOP_CHECK(g.shape(v).elements() == expected && (!same_axes || g.shape(v) == graph_shape(file, layout)),
              "output '", name, "': the manifest says ", nlohmann::json(file).dump(), ", the graph makes ",
              g.shape(v), layout == Layout::kImage ? " (channels last)" : "");
  used_.insert(name);
  outputs_.push_back({name, v, layout});
}

void Program::output(Value v, Layout layout) {
  std::string only;
  for (const std::string& name : case_.order)
    if (case_.at(name).role == "output" && !running_.count(name)) {
      if (!only.empty()) throw NotCovered("outputs '" + only + "' and '" + name + "' of " + op());
      only = name;
    }
  MIXOP_CHECK(!only.empty(), "the manifest has no output");
  output(only, v, layout);
}

void Program::take_weights() {
  for (const auto& e : weights.entries()) {
    MIXOP_CHECK(has(e.name), "the manifest has no input '", e.name, "'");
    const Layout layout = e.shape.rank() == 4 ? Layout::kKernel : Layout::kPlain;
    MIXOP_CHECK(graph_shape(extents(e.name), layout) == e.shape, "input '", e.name, "' has shape ",
                nlohmann::json(extents(e.name)).dump(), ", the operation needs ", e.shape,
                layout == Layout::kKernel ? " (as [kh, kw, in/groups, out])" : "");
    used_.insert(e.name);
    weights_.push_back({e.name, g.tensor(weights, e.name, e.shape), layout});
  }
}

void Program::check_all_used() const {
  for (const auto& [name, value] : case_.params.items())
    if (!used_.count("param " + name)) throw NotCovered("parameter '" + name + "' of " + op());
  for (const std::string& name : case_.order) {
    const std::string& role = case_.at(name).role;
    if (role != "input" && role != "output") continue;
    if (!used_.count(name) && !running_.count(name)) throw NotCovered(role + " '" + name + "' of " + op());
  }
}

void Program::add_gradients() {
  std::vector<Value> outputs, upstream;
  for (const Bound& o : outputs_) {
    std::string name = "g_" + o.name;
    if (o.name == "y" && case_.has("gy")) name = "gy";
    if (case_.has(name) && case_.at(name).role == "upstream_grad") {
      const GoldenTensor& t = case_.at(name);
      MIXOP_CHECK(t.shape == case_.at(o.name).shape, "upstream gradient '", name, "' has not the shape of '",
                  o.name, "'");
      inputs_.push_back({name, g.input(name, g.shape(o.value)), o.layout});
      upstream.push_back(inputs_.back().value);
    } else if (g.shape(o.value).elements() == 1) {
      upstream.push_back(autograd::constant(g, g.shape(o.value), 1));
    } else {
      continue;
    }
    outputs.push_back(o.value);
  }
  std::vector<Bound> sources = inputs_;
  sources.insert(sources.end(), weights_.begin(), weights_.end());
  std::vector<Value> wrt;
  for (const std::string& name : case_.order) {
    if (case_.at(name).role != "grad") continue;
    const auto it =
        std::find_if(sources.begin(), sources.end(), [&](const Bound& b) { return "g_" + b.name == name; });
    MIXOP_CHECK(it != sources.end(), "'", name, "' is not the gradient of an input");
    gradients_.push_back({name, it->value, it->layout});
    wrt.push_back(it->value);
  }
  const std::vector<Value> gradients = autograd::vector_jacobian(g, outputs, upstream, wrt);
  for (size_t i = 0; i < gradients.size(); ++i)  // what the outputs do not depend on has gradient zero
    gradients_[i].value = gradients[i] ? gradients[i] : autograd::zeros(g, g.shape(wrt[i]));
}

void Program::fill(Plan& plan, bool rounded) {
  const auto values = [&](const Bound& b) {
    const GoldenTensor& t = case_.at(b.name);
    Values v = b.layout == Layout::kPlain ? t.values : to_graph(t.values, t.shape, b.layout);
    return rounded ? rounded_to_float32(std::move(v)) : v;
  };
  for (const Bound& b : inputs_)
    if (plan.has_input(b.name)) to_view(values(b), plan.input(b.name));
  weights.bind();
  for (const Bound& b : weights_) to_view(values(b), weights.view(weights.find(b.name)));
  state.bind();
  for (const auto& e : state.entries()) to_view(values({e.name, {}}), state.view(state.find(e.name)));
}

Evaluation Program::evaluate(const Arithmetic& arithmetic) {
  take_weights();
  check_all_used();
  add_gradients();
  std::vector<Bound> results = outputs_;
  results.insert(results.end(), gradients_.begin(), gradients_.end());
  std::vector<Value> asked;
  for (const Bound& b : results) asked.push_back(b.value);

  Evaluation e;
  e.factor = tolerance_factor(g);
  if (arithmetic.perturbed()) g = perturbable(g, asked);
  Plan plan(g, asked, nullptr, {.fuse = !arithmetic.perturbed(), .poison = true, .device = arithmetic.device});
  fill(plan, arithmetic.rounded_inputs());
  fill_perturbation(plan, g, arithmetic.perturbation);
  plan.run();
  for (size_t i = 0; i < results.size(); ++i) {
    const Values v = from_view(plan.output(asked[i]));
    const Layout layout = results[i].layout;
    e.values[results[i].name] = layout == Layout::kPlain ? v : to_file(v, extents(results[i].name), layout);
  }
  for (const auto& [after, name] : running_) {
    e.values[after] = from_view(state.view(state.find(name)));
    e.magnitudes[after] = largest(case_.at(name).values);  // a weighted mean of old and new may cancel
  }
  return e;
}

}  // namespace mixop::cli
