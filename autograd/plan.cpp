#include "autograd/plan.h"

#include <chrono>
#include <cmath>
#include <cstdlib>
#include <cstring>

#include "autograd/passes/passes.h"
#include "kernels/ops/copy.h"

namespace mixop::autograd {

using kernels::Call;
using kernels::Out;
using kernels::View;

void Arena::reserve(size_t bytes) {
  MIXOP_CHECK(!buffer_.data() || bytes <= bytes_, "arena: a larger plan (", bytes,
              " bytes) was compiled after the first run");
  bytes_ = std::max(bytes_, bytes);
}

std::byte* Arena::data() {
  if (!buffer_.data() && bytes_) buffer_ = kernels::Buffer(bytes_);
  return buffer_.data();
}

namespace {

bool fusion_enabled() {
  const char* env = std::getenv("MIXOP_FUSE");
  return !env || std::strcmp(env, "0") != 0;
}

/// A kernel with its operands; views are filled in when the plan binds.
struct Step {
  const kernels::Impl* impl = nullptr;
  int node = -1;
  bool copy = false;
  std::vector<View> in;
  std::vector<Out> out;
  std::vector<Place> in_places, out_places;
  Call call;
};

size_t round_up(size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

template <class T>
bool has_nan(const View& v) {
  for (int64_t r = 0; r < v.rows(); ++r)
    for (int64_t c = 0; c < v.last(); ++c)
      if (std::isnan(v.as<T>()[r * v.ld + c])) return true;
  return false;
}

constexpr unsigned char kPoisonByte = 0xFF;  // all ones is a NaN in float32 and float64, -1 in int32
constexpr unsigned char kGuardByte = 0xA5;

}  // namespace

struct Plan::Body {
  Graph graph;
  std::vector<Value> asked, outputs;  // as the caller names them, and renumbered
  std::shared_ptr<Arena> arena;
  CompileOptions options;
  Layout layout;
  std::vector<Step> steps;
  kernels::Exec exec;
  std::map<std::string, int> inputs;  // name -> node
  std::vector<size_t> input_offsets;
  kernels::Buffer input_memory;
  MemoryReport report;
  bool bound = false, timed = false;
  std::vector<double> seconds;

  bool pinned() const { return options.mode == CompileOptions::Mode::kPinned; }

  void make_steps();
  void measure();
  void bind();
  std::byte* base_of(Value root);
  View view_at(const Place& place, const TensorSpec& spec);
  void poison();
  void check(const Step& step);
};

/// Builds the calls with shapes and strides but without addresses, and chooses implementations.
void Plan::Body::make_steps() {
  const auto unbound = [&](const Place& p, const TensorSpec& spec) {
    return View{nullptr, spec.dtype, spec.shape, p.ld};
  };
  steps.resize(layout.steps.size());
  for (size_t s = 0; s < steps.size(); ++s) {
    const PlannedStep& planned = layout.steps[s];
    Step& step = steps[s];
    const Node& n = graph.node(planned.node);
    step.node = planned.node;
    step.copy = bool(planned.copy_from);
    const auto add_input = [&](Value v) {
      step.in_places.push_back(layout.places[v.node][v.output]);
      step.in.push_back(unbound(step.in_places.back(), graph.spec(v)));
    };
    const auto add_output = [&](const Place& p, const TensorSpec& spec) {
      step.out_places.push_back(p);
      step.out.push_back({unbound(p, spec), step.out.empty() ? planned.write : kernels::Write::kSet});
    };
    if (step.copy) {
      add_input(planned.copy_from);
      add_output(planned.copy_to, graph.spec(planned.copy_from));
    } else {
      for (const Value v : n.inputs) add_input(v);
      for (size_t k = 0; k < n.outputs.size(); ++k) add_output(layout.places[planned.node][k], n.outputs[k]);
    }
    step.call = {&exec, step.in, step.out, step.copy ? nullptr : n.attrs.get()};
    step.impl = step.copy ? &kernels::choose("copy", kernels::copy_cpu(), step.call)
                          : &kernels::choose(n.op->name, n.op->cpu(), step.call);
    if (step.impl->workspace) report.workspace = std::max(report.workspace, step.impl->workspace(step.call));
  }
}

void Plan::Body::measure() {
  for (int i = 0; i < graph.size(); ++i) {
    const Node& n = graph.node(i);
    if (n.op) continue;
    const size_t bytes = static_cast<size_t>(n.outputs[0].shape.elements()) * size_of(n.outputs[0].dtype);
    if (n.store) {
      if (n.entry != kWholeStore) (n.store->name() == "state" ? report.state : report.param) += bytes;
    } else {
      inputs[n.name] = i;
      input_offsets.resize(graph.size());
      input_offsets[i] = report.input;
      report.input += round_up(bytes);
    }
  }
  for (const Slot& s : layout.slots) (s.saved ? report.saved : report.scratch) += s.bytes;
  report.arena = layout.arena_bytes;
}

std::byte* Plan::Body::base_of(Value root) {
  const Node& n = graph.node(root);
  if (n.op) return arena->data() + layout.slots[layout.slot_of[root.node][root.output]].begin;
  if (!n.store) return input_memory.data() + input_offsets[root.node];
  if (n.entry == kWholeStore) return n.store->data();
  return static_cast<std::byte*>(n.store->view(n.entry).data);
}

View Plan::Body::view_at(const Place& place, const TensorSpec& spec) {
  return {base_of(place.root) + static_cast<size_t>(place.offset) * size_of(spec.dtype), spec.dtype, spec.shape,
          place.ld};
}

void Plan::Body::bind() {
  if (bound) return;
  bound = true;
  if (!input_memory.data()) input_memory = kernels::Buffer(report.input);
  for (Step& step : steps) {
    for (size_t k = 0; k < step.in.size(); ++k)
      step.in[k].data = view_at(step.in_places[k], {step.in[k].shape, step.in[k].dtype}).data;
    for (size_t k = 0; k < step.out.size(); ++k)
      step.out[k].data = view_at(step.out_places[k], {step.out[k].shape, step.out[k].dtype}).data;
  }
  exec.workspace = arena->data() + round_up(layout.arena_bytes);
}

void Plan::Body::poison() {
  std::memset(arena->data(), kPoisonByte, round_up(layout.arena_bytes) + report.workspace);
  if (pinned())
    for (const Slot& s : layout.slots) std::memset(arena->data() + s.begin + s.bytes, kGuardByte, kGuardBytes);
}

/// After a step in pinned mode: its outputs hold no NaN and every guard word is whole.
void Plan::Body::check(const Step& step) {
  const Node& n = graph.node(step.node);
  const auto where = [&] { return kernels::text(n.op->name, " (", step.impl->name, ") at '", n.name, "'"); };
  for (size_t k = 0; k < step.out.size(); ++k) {
    const View& v = step.out[k];
    const bool bad = v.dtype == DType::kF64 ? has_nan<double>(v) : v.dtype == DType::kF32 && has_nan<float>(v);
    MIXOP_CHECK(!bad, "NaN first appears in output ", k, " of ", where());
    const Value root = step.out_places[k].root;
    if (!graph.node(root).op) continue;
    const Slot& s = layout.slots[layout.slot_of[root.node][root.output]];
    for (size_t b = 0; b < kGuardBytes; ++b)
      MIXOP_CHECK(static_cast<unsigned char>(arena->data()[s.begin + s.bytes + b]) == kGuardByte, where(),
                  " wrote past the end of its output ", k);
  }
}

Plan::Plan(const Graph& graph, std::vector<Value> outputs, std::shared_ptr<Arena> arena, CompileOptions options)
    : body_(std::make_unique<Body>()) {
  Body& b = *body_;
  b.asked = outputs;
  b.outputs = std::move(outputs);
  b.options = options;
  b.arena = arena && !b.pinned() ? std::move(arena) : std::make_shared<Arena>();
  b.graph = prune(graph, b.outputs);
  if (options.fuse && fusion_enabled()) {
    fuse(b.graph, b.outputs);
    b.graph = prune(b.graph, b.outputs);
  }
  b.layout = plan_memory(b.graph, b.outputs, b.pinned());
  b.exec.threads = options.threads > 0 ? options.threads : kernels::default_threads();
  b.make_steps();
  b.measure();
  b.arena->reserve(round_up(b.layout.arena_bytes) + round_up(b.report.workspace) + kAlignment);
  b.seconds.resize(b.steps.size());
}

Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;

bool Plan::has_input(const std::string& name) const { return body_->inputs.count(name) > 0; }

View Plan::input(const std::string& name) {
  const auto it = body_->inputs.find(name);
  MIXOP_CHECK(it != body_->inputs.end(), "the plan has no input '", name, "'");
  if (!body_->input_memory.data()) body_->input_memory = kernels::Buffer(body_->report.input);
  const Value v{it->second, 0};
  return body_->view_at({v, 0, body_->graph.shape(v).last()}, body_->graph.spec(v));
}

void Plan::run() {
  Body& b = *body_;
  b.bind();
  if (b.options.poison || b.pinned()) b.poison();
  for (size_t s = 0; s < b.steps.size(); ++s) {
    const Step& step = b.steps[s];
    if (!b.timed) {
      step.impl->run(step.call);
    } else {
      const auto start = std::chrono::steady_clock::now();
      step.impl->run(step.call);
      b.seconds[s] += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    }
    if (b.pinned()) b.check(step);
  }
}

View Plan::output(Value v) const {
  for (size_t i = 0; i < body_->asked.size(); ++i)
    if (body_->asked[i] == v) {
      const Value w = body_->outputs[i];
      return body_->view_at(body_->layout.places[w.node][w.output], body_->graph.spec(w));
    }
  kernels::fail("plan: the value was not asked for when the plan was compiled");
}

double Plan::scalar(Value v) const {
  const View view = output(v);
  MIXOP_CHECK(view.shape.elements() == 1, "plan: a value of shape ", view.shape, " is not a number");
  return view.dtype == DType::kF64 ? *view.as<double>() : double{*view.as<float>()};
}

const MemoryReport& Plan::memory() const { return body_->report; }
const std::vector<Slot>& Plan::slots() const { return body_->layout.slots; }

std::vector<Plan::StepInfo> Plan::steps() const {
  std::vector<StepInfo> result;
  for (const Step& step : body_->steps) {
    const Node& n = body_->graph.node(step.node);
    StepInfo info;
    info.op = step.copy ? "copy" : n.op->name;
    info.impl = step.impl->name;
    info.name = n.name;
    info.shape = step.out.empty() ? "" : kernels::text(step.out[0].shape);
    info.flops = !step.copy && n.op->flops ? n.op->flops(body_->graph, n) : 0;
    info.macs = !step.copy && n.op->macs ? n.op->macs(body_->graph, n) : 0;
    info.bytes = 0;
    for (const Out& o : step.out) info.bytes += static_cast<size_t>(o.shape.elements()) * size_of(o.dtype);
    info.traffic = info.bytes;
    for (const View& v : step.in) info.traffic += static_cast<size_t>(v.shape.elements()) * size_of(v.dtype);
    info.backward = n.backward;
    result.push_back(std::move(info));
  }
  return result;
}

void Plan::enable_timing(bool on) {
  body_->timed = on;
  std::fill(body_->seconds.begin(), body_->seconds.end(), 0.0);
}

const std::vector<double>& Plan::seconds() const { return body_->seconds; }

}  // namespace mixop::autograd
