#include "tests/support/runner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <memory>
#include <set>

#include "kernels/core/rng.h"
#include "nas/cli/tolerance.h"

namespace mixop::test {

using autograd::CompileOptions;
using autograd::Graph;
using autograd::Plan;
using autograd::Value;
using kernels::DType;
using kernels::View;

namespace {

uint64_t hash_of(const std::string& s) {
  uint64_t h = 1469598103934665603ull;
  for (const unsigned char c : s) h = (h ^ c) * 1099511628211ull;
  return h;
}

std::vector<double> random_values(const std::string& case_name, const CaseInput& in) {
  std::vector<double> v(static_cast<size_t>(in.shape.elements()));
  const uint64_t seed = hash_of(case_name), stream = hash_of(in.name);
  for (size_t i = 0; i < v.size(); ++i) {
    const double u = kernels::uniform(seed, stream, i), z = kernels::normal(seed, stream, i);
    switch (in.fill) {
      case CaseInput::Fill::kNormal:
        v[i] = static_cast<float>(z);
        break;
      case CaseInput::Fill::kPositive:
        v[i] = static_cast<float>(0.5 + u);
        break;
      case CaseInput::Fill::kLabels:
        v[i] = in.labels.empty() ? std::floor(u * in.limit) : in.labels[i];
        break;
      case CaseInput::Fill::kPixels:
        v[i] = std::floor(u * 256);
        break;
      case CaseInput::Fill::kMask:
        v[i] = u < 0.6 ? 1 : 0;
        break;
      case CaseInput::Fill::kUndefined:
        v[i] = std::numeric_limits<double>::quiet_NaN();
        break;
    }
  }
  return v;
}

void write(const View& to, const std::vector<double>& from) {
  for (size_t i = 0; i < from.size(); ++i) {
    if (to.dtype == DType::kF64) to.as<double>()[i] = from[i];
    else if (to.dtype == DType::kF32) to.as<float>()[i] = static_cast<float>(from[i]);
    else if (to.dtype == DType::kU8) to.as<uint8_t>()[i] = static_cast<uint8_t>(from[i]);
    else to.as<int32_t>()[i] = static_cast<int32_t>(from[i]);
  }
}

std::vector<double> read(const View& v) {
  std::vector<double> out;
  for (int64_t r = 0; r < v.rows(); ++r)
    for (int64_t c = 0; c < v.last(); ++c)
      out.push_back(v.dtype == DType::kF64 ? v.as<double>()[r * v.ld + c] : double{v.as<float>()[r * v.ld + c]});
  return out;
}

double largest(const std::vector<double>& v) {
  double m = 0;
  for (const double x : v) m = std::max(m, std::abs(x));
  return m;
}

double dot(const std::vector<double>& a, const std::vector<double>& b) {
  double s = 0;
  for (size_t i = 0; i < a.size(); ++i) s += a[i] * b[i];
  return s;
}

CompileOptions pinned() { return {.mode = CompileOptions::Mode::kPinned}; }

}  // namespace

Plan CaseProgram::compile(CaseProgram& self, const Case& c, const CompileOptions& options) {
  Graph& g = self.graph_;
  std::vector<Value> values, wrt;
  std::vector<std::string> wrt_names;
  for (const CaseInput& in : c.inputs) {
    const bool labels = in.fill == CaseInput::Fill::kLabels, pixels = in.fill == CaseInput::Fill::kPixels;
    const bool integers = labels || pixels;
    const DType type = labels ? DType::kI32 : pixels ? DType::kU8 : g.real();
    values.push_back(g.input(in.name, in.shape, type));
    self.inputs_.push_back(in);
    if (integers || !in.differentiate) continue;
    wrt.push_back(values.back());
    wrt_names.push_back(in.name);
  }
  const std::vector<Value> outputs = c.build(g, values);
  self.forward_ = static_cast<int>(outputs.size());
  std::vector<Value> upstream;
  for (size_t k = 0; k < outputs.size(); ++k) {
    self.asked_.push_back({"output " + std::to_string(k), outputs[k]});
    const CaseInput in{.name = "g_" + std::to_string(k), .shape = g.shape(outputs[k])};
    upstream.push_back(g.input(in.name, in.shape));
    self.inputs_.push_back(in);
  }
  if (!wrt.empty()) {
    const std::vector<Value> grads = autograd::vector_jacobian(g, outputs, upstream, wrt);
    for (size_t k = 0; k < grads.size(); ++k)
      if (grads[k]) self.asked_.push_back({"gradient of " + wrt_names[k], grads[k]});
  }
  std::vector<Value> asked;
  for (const auto& [name, v] : self.asked_) asked.push_back(v);
  return Plan(g, asked, nullptr, options);
}

CaseProgram::CaseProgram(const Case& c, DType real, CompileOptions options)
    : graph_(real), name_(c.name), plan_(compile(*this, c, options)) {}

Tensors CaseProgram::inputs() const {
  Tensors t;
  for (const CaseInput& in : inputs_) t[in.name] = random_values(name_, in);
  return t;
}

std::vector<CaseProgram::Result> CaseProgram::run(const Tensors& inputs) {
  for (const auto& [name, values] : inputs)
    if (plan_.has_input(name)) write(plan_.input(name), values);
  plan_.run();
  std::vector<Result> results;
  for (const auto& [name, v] : asked_) results.push_back({name, read(plan_.output(v))});
  return results;
}

void check_gradients(const Case& c) {
  CaseProgram program(c, DType::kF64, pinned());
  const Tensors base = program.inputs();
  const auto results = program.run(base);
  const auto objective = [&](const Tensors& at) {
    const auto r = program.run(at);
    double sum = 0;
    for (int k = 0; k < program.forward_outputs(); ++k) sum += dot(r[k].values, at.at("g_" + std::to_string(k)));
    return sum;
  };
  for (size_t k = program.forward_outputs(); k < results.size(); ++k) {
    const std::string name = results[k].name.substr(std::strlen("gradient of "));
    std::vector<double> direction(results[k].values.size());
    for (size_t i = 0; i < direction.size(); ++i) direction[i] = kernels::normal(7, hash_of(name), i);
    constexpr double kStep = 1e-6;
    Tensors plus = base, minus = base;
    for (size_t i = 0; i < direction.size(); ++i) {
      plus[name][i] += kStep * direction[i];
      minus[name][i] -= kStep * direction[i];
    }
    const double numeric = (objective(plus) - objective(minus)) / (2 * kStep);
    const double analytic = dot(results[k].values, direction);
    // The difference quotient cancels: its error grows with the objective's own size.
    const double scale = 1 + std::abs(numeric) + std::abs(objective(base));
    EXPECT_LT(std::abs(numeric - analytic) / scale, 1e-7)
        << c.name << ": " << results[k].name << ": numeric " << numeric << ", analytic " << analytic;
  }
}

void check_against_reference(const Case& c, const CompileOptions& options) {
  CompileOptions apart = options;
  apart.mode = CompileOptions::Mode::kPinned;
  CaseProgram reference(c, DType::kF64, {.fuse = false}), fast(c, DType::kF32, apart);
  const Tensors in = fast.inputs();
  Tensors absolute = in;
  for (auto& [name, values] : absolute)
    for (double& x : values) x = std::abs(x);
  const auto want = reference.run(in);
  const auto got = fast.run(in);
  const auto magnitude = reference.run(absolute);
  const double c_eps = cli::tolerance_factor(reference.graph()) * 0x1p-24 * 2;
  for (size_t k = 0; k < want.size(); ++k) {
    const double bound = c_eps * std::max(largest(want[k].values), largest(magnitude[k].values));
    ASSERT_EQ(want[k].values.size(), got[k].values.size());
    for (size_t i = 0; i < want[k].values.size(); ++i)
      ASSERT_LE(std::abs(want[k].values[i] - got[k].values[i]), bound)
          << c.name << ": " << want[k].name << "[" << i << "]: want " << want[k].values[i] << ", got "
          << got[k].values[i];
  }
}

void check_bits(const Case& c) {
  CaseProgram one(c, DType::kF32, {.threads = 1, .poison = true}),
      two(c, DType::kF32, {.threads = 2, .poison = true});
  CompileOptions apart = pinned();
  apart.threads = 3;
  CaseProgram pinned_program(c, DType::kF32, apart);
  const Tensors in = one.inputs();
  const auto a = one.run(in), again = one.run(in), b = two.run(in), p = pinned_program.run(in);
  for (size_t k = 0; k < a.size(); ++k) {
    const auto same = [&](const CaseProgram::Result& other, const char* what) {
      EXPECT_EQ(0, std::memcmp(a[k].values.data(), other.values.data(), a[k].values.size() * sizeof(double)))
          << c.name << ": " << a[k].name << " differs: " << what;
    };
    same(again[k], "second run");
    same(b[k], "two threads");
    same(p[k], "pinned mode");
  }
}

void check_device(const Case& c) {
  CompileOptions options{.device = kernels::Device::kCuda};
  check_against_reference(c, options);
  const auto chosen = [&] {
    const CaseProgram program(c, DType::kF32, options);
    autograd::Choices choices;
    for (const Plan::StepInfo& step : program.plan().steps()) choices[step.key] = step.impl;
    return choices;
  };
  const autograd::Choices fixed = chosen();
  std::set<std::string> names;
  const CaseProgram program(c, DType::kF32, options);
  for (const Plan::CallInfo& call : program.plan().calls())
    for (const kernels::Impl& impl : call.list) names.insert(impl.name);
  std::set<autograd::Choices> seen = {fixed};
  for (const std::string& name : names) {
    auto wishes = std::make_shared<autograd::Choices>(fixed);
    for (auto& [key, impl] : *wishes) impl = name;
    options.tuned = wishes;
    if (!seen.insert(chosen()).second) continue;
    SCOPED_TRACE(kernels::text("with '", name, "' wherever it accepts"));
    check_against_reference(c, options);
  }
}

void check_device_bits(const Case& c) {
  CompileOptions options{.poison = true, .device = kernels::Device::kCuda};
  CaseProgram graph(c, DType::kF32, options);
  options.graph = false;
  CaseProgram nodes(c, DType::kF32, options);
  options.mode = CompileOptions::Mode::kPinned;
  CaseProgram apart(c, DType::kF32, options);
  const Tensors in = graph.inputs();
  const auto want = nodes.run(in), warm_up = graph.run(in), captured = graph.run(in), replayed = graph.run(in),
             p = apart.run(in);
  EXPECT_GT(graph.plan().graph_nodes(), 0U);
  for (size_t k = 0; k < want.size(); ++k) {
    const auto same = [&](const CaseProgram::Result& other, const char* what) {
      EXPECT_EQ(0, std::memcmp(want[k].values.data(), other.values.data(), want[k].values.size() * sizeof(double)))
          << c.name << ": " << want[k].name << " differs: " << what;
    };
    same(warm_up[k], "before the capture");
    same(captured[k], "captured");
    same(replayed[k], "replayed");
    same(p[k], "pinned mode");
  }
}

}  // namespace mixop::test
