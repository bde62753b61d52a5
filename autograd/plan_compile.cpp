// From a graph to steps: passes, memory layout and the choice of implementations.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "autograd/passes/conditions.h"
#include "autograd/plan_body.h"
#include "kernels/ops/copy.h"

namespace mixop::autograd {

using kernels::Device;
using kernels::View;

namespace {

bool fusion_enabled() {
  const char* env = std::getenv("MIXOP_FUSE");
  return !env || std::strcmp(env, "0") != 0;
}

}  // namespace

void lower(Graph& g, std::vector<Value>& outputs, bool device) {
  fuse(g, outputs);
  g = prune(g, outputs);
  const auto run = [&](void (*pass)(Graph&, std::vector<Value>&)) {
    pass(g, outputs);
    g = prune(g, outputs);
  };
  run(distribute_masks);
  run(fuse_pool);
  group_pools(g, outputs, device);
  for (const auto pass : {fuse_mix, fuse_separable, fuse_pointwise, fuse_scales}) run(pass);
  if (device) hoist_sums(g, outputs);
  group_separable(g, outputs, device);
  if (device) group_reductions(g, outputs);
  absorb_norms(g, outputs);
  g = prune(g, outputs);
}

Plan::Plan(const Graph& graph, std::vector<Value> outputs, std::shared_ptr<Arena> arena, CompileOptions options)
    : body_(std::make_unique<Body>()) {
  Body& b = *body_;
  b.asked = outputs;
  b.outputs = std::move(outputs);
  b.options = options;
  MIXOP_CHECK(!b.device() || graph.real() == DType::kF32, "plan: a CUDA device computes in float32 only");
  if (b.device()) kernels::cuda::selected();
  b.arena = arena && !b.pinned() ? std::move(arena) : std::make_shared<Arena>(options.device);
  b.chosen.assign(static_cast<size_t>(graph.choices()), -1);
  b.graph = prune(graph, b.outputs);
  narrow_conditions(b.graph, b.outputs);
  if (options.fuse && fusion_enabled()) lower(b.graph, b.outputs, b.device());
  MIXOP_CHECK(!options.bf16 || b.device(), "plan: bfloat16 storage needs a CUDA device");
  if (options.bf16) store_bf16(b.graph, b.outputs);
  copy_views(b.graph, b.outputs);
  for (int i = 0; i < b.graph.size(); ++i)
    if (TensorStore* store = b.graph.node(i).store; store && !std::count(b.stores.begin(), b.stores.end(), store)) {
      store->place(options.device);
      b.stores.push_back(store);
    }
  b.layout = plan_memory(b.graph, b.outputs, b.pinned());
  b.exec.threads = options.threads > 0 ? options.threads : kernels::default_threads();
  b.exec.tf32 = options.tf32;
  b.make_steps();
  b.measure();
  b.arena->reserve(round_up(b.layout.arena_bytes) + round_up(b.report.workspace) + kAlignment);
  b.seconds.resize(b.steps.size());
}

/// Builds the calls with shapes and strides but without addresses, and chooses implementations.
void Plan::Body::make_steps() {
  const auto unbound = [&](const Place& p, const TensorSpec& spec) {
    return View{nullptr, spec.dtype, spec.shape, p.ld, phase(p, spec.dtype)};
  };
  static const kernels::FillAttrs kZeros{};
  steps.resize(layout.steps.size());
  done.resize(steps.size());
  begun.resize(static_cast<size_t>(layout.sums));
  for (size_t s = 0; s < steps.size(); ++s) {
    const PlannedStep& planned = layout.steps[s];
    Step& step = steps[s];
    const Node& n = graph.node(planned.node);
    step.node = planned.node;
    step.copy = bool(planned.copy_from);
    step.zeros = bool(planned.zeros);
    step.when = planned.when;
    step.unless = planned.unless;
    step.sums = planned.sums;
    const auto add_input = [&](Value v) {
      step.in_places.push_back(layout.places[v.node][v.output]);
      step.in.push_back(unbound(step.in_places.back(), graph.spec(v)));
    };
    const auto add_output = [&](const Place& p, const TensorSpec& spec) {
      step.out_places.push_back(p);
      step.out.push_back({unbound(p, spec), planned.writes[step.out.size()]});
    };
    if (step.zeros) {
      add_output(planned.to, graph.spec(planned.zeros));
    } else if (step.copy) {
      add_input(planned.copy_from);
      add_output(planned.to, graph.spec(planned.copy_from));
    } else {
      for (const Value v : n.inputs) add_input(v);
      for (size_t k = 0; k < n.outputs.size(); ++k) add_output(layout.places[planned.node][k], n.outputs[k]);
    }
    if (!step.copy && !step.zeros) {
      const std::vector<int> terms = terms_of_inputs(n);
      for (size_t k = 0; k < terms.size(); ++k)
        if (const Condition& when = graph.node(n.inputs[k]).when;
            terms[k] == static_cast<int>(k) && when && when != n.when)
          step.absent.push_back({k, when});
    }
    step.call = {&exec, step.in, step.out, step.zeros ? &kZeros : step.copy ? nullptr : n.attrs.get()};
    if (step.zeros) choose(step, "fill", device() ? kernels::fill_cuda() : kernels::fill_cpu());
    else if (step.copy) choose(step, "copy", device() ? kernels::copy_cuda() : kernels::copy_cpu());
    else
      choose(step, n.op->name,
             !device()    ? n.op->cpu()
             : n.op->cuda ? n.op->cuda()
                          : std::span<const kernels::Impl>());
    if (step.impl->workspace) report.workspace = std::max(report.workspace, step.impl->workspace(step.call));
  }
}

/// A recorded choice must be there; a tuned one is taken where it can be.
void Plan::Body::choose(Step& step, const char* op, std::span<const kernels::Impl> list) {
  const Node& n = graph.node(step.node);
  step.key = call_key(op, step.call, step.copy || step.zeros || !n.op->detail ? "" : n.op->detail(n));
  kernels::Wish wish;
  const auto look_up = [&](const std::shared_ptr<const Choices>& choices, bool must) {
    if (!choices || !wish.name.empty()) return;
    if (const auto it = choices->find(step.key); it != choices->end()) wish = {it->second, must};
  };
  look_up(options.recorded, true);
  look_up(options.tuned, false);
  step.list = list;
  step.impl = &kernels::choose(op, list, step.call, wish);
  step.label = kernels::text(op, " (", step.impl->name, ") ", n.name);
}

void Plan::Body::measure() {
  for (int i = 0; i < graph.size(); ++i) {
    const Node& n = graph.node(i);
    if (n.op) continue;
    const size_t bytes = static_cast<size_t>(n.outputs[0].shape.elements()) * size_of(n.outputs[0].dtype);
    if (n.store) {
      if (n.entry != kWholeStore) (n.store->name() == "state" ? report.state : report.param) += bytes;
    } else {
      input_offsets.resize(graph.size());
      input_offsets[i] = device() ? inputs.size() : report.input;
      inputs[n.name] = i;
      input_bytes.push_back(bytes);
      report.input += round_up(bytes);
    }
  }
  for (const Slot& s : layout.slots) (s.saved ? report.saved : report.scratch) += s.bytes;
  report.arena = layout.arena_bytes;
}

}  // namespace mixop::autograd
