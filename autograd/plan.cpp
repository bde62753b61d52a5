#include "autograd/plan.h"

#include <algorithm>

#include "autograd/plan_body.h"

namespace mixop::autograd {

using kernels::Device;
using kernels::Out;
using kernels::View;

Plan::Plan(Plan&&) noexcept = default;
Plan& Plan::operator=(Plan&&) noexcept = default;
Plan::~Plan() = default;

bool Plan::has_input(const std::string& name) const { return body_->inputs.count(name) > 0; }

void Plan::choose(std::span<const int32_t> values) { body_->choose(values); }

View Plan::input(const std::string& name) {
  Body& b = *body_;
  const auto it = b.inputs.find(name);
  MIXOP_CHECK(it != b.inputs.end(), "the plan has no input '", name, "'");
  b.make_inputs();
  const TensorSpec& spec = b.graph.spec({it->second, 0});
  const size_t at = b.input_offsets[it->second];
  std::byte* data = b.device() ? b.on_device->staging(at) : b.input_memory.data() + at;
  return {data, spec.dtype, spec.shape, spec.shape.last()};
}

int64_t Plan::run() {
  Body& b = *body_;
  b.bind();
  if (b.device()) {
    for (TensorStore* store : b.stores) store->hand_to_plan();
    // With choices each run launches its steps one by one. One captured graph could serve all choices by switching
    // its nodes off (cudaGraphNodeSetEnabled) if no kernel's arguments changed with them: sums would have to be
    // zeroed first and always added to, and mixed operations to read from a table on the device which of their
    // terms are there.
    b.on_device->run([&b] { b.run_steps(); }, b.options.graph && b.chosen.empty() && !b.timed && !b.pinned());
  } else {
    b.run_steps();
  }
  return b.runs++;
}

View Plan::output(Value v) const { return body_->output(body_->asked_index(v)); }

double Plan::scalar(Value v) const { return scalar(v, body_->runs - 1); }

double Plan::scalar(Value v, int64_t run) const {
  Body& b = *body_;
  const size_t i = b.asked_index(v);
  const Value out = b.outputs[i];
  const TensorSpec& spec = b.graph.spec(out);
  MIXOP_CHECK(spec.shape.elements() == 1, "plan: a value of shape ", spec.shape, " is not a number");
  MIXOP_CHECK(b.device() || run == b.runs - 1, "plan: on the CPU only the numbers of the last run are kept");
  const void* data = b.device() ? b.on_device->scalar(static_cast<size_t>(b.scalar_of[i]), run) : b.output(i).data;
  if (spec.dtype == DType::kI32) return *static_cast<const int32_t*>(data);
  return spec.dtype == DType::kF64 ? *static_cast<const double*>(data) : double{*static_cast<const float*>(data)};
}

Device Plan::device() const { return body_->options.device; }
double Plan::device_seconds(int64_t run) const {
  MIXOP_CHECK(body_->on_device, "plan: it has not run on a device");
  return body_->on_device->seconds(run);
}

const MemoryReport& Plan::memory() const { return body_->report; }
const std::vector<Slot>& Plan::slots() const { return body_->layout.slots; }
size_t Plan::graph_nodes() const { return body_->on_device ? body_->on_device->graph_nodes() : 0; }

std::vector<Plan::StepInfo> Plan::steps() const {
  std::vector<StepInfo> result;
  for (const Body::Step& step : body_->steps) {
    const Node& n = body_->graph.node(step.node);
    StepInfo info;
    const bool own = !step.copy && !step.zeros;
    info.op = own ? n.op->name : step.copy ? "copy" : "fill";
    info.impl = step.impl->name;
    info.name = n.name;
    info.key = step.key;
    info.shape = step.out.empty() ? "" : kernels::text(step.out[0].shape);
    info.flops = own && n.op->flops ? n.op->flops(body_->graph, n) : 0;
    info.macs = own && n.op->macs ? n.op->macs(body_->graph, n) : 0;
    info.bytes = 0;
    for (const Out& o : step.out) info.bytes += static_cast<size_t>(o.shape.elements()) * size_of(o.dtype);
    info.traffic = info.bytes;
    for (const View& v : step.in) info.traffic += static_cast<size_t>(v.shape.elements()) * size_of(v.dtype);
    info.backward = n.backward;
    result.push_back(std::move(info));
  }
  return result;
}

std::vector<Plan::CallInfo> Plan::calls() const {
  std::vector<CallInfo> result;
  for (const Body::Step& step : body_->steps) result.push_back({step.key, step.call, step.list, step.impl});
  return result;
}

void Plan::enable_timing(bool on) {
  body_->timed = on;
  std::fill(body_->seconds.begin(), body_->seconds.end(), 0.0);
}

const std::vector<double>& Plan::seconds() const { return body_->seconds; }

}  // namespace mixop::autograd
