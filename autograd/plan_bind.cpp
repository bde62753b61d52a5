// Where the operands of a plan lie.
#include <algorithm>

#include "autograd/plan_body.h"

namespace mixop::autograd {

using kernels::Device;
using kernels::Memory;
using kernels::View;

void Arena::reserve(size_t bytes) {
  MIXOP_CHECK(!buffer_.data() || bytes <= bytes_, "arena: a larger plan (", bytes,
              " bytes) was compiled after the first run");
  bytes_ = std::max(bytes_, bytes);
}

std::byte* Arena::data() {
  if (!buffer_.data() && bytes_)
    buffer_ = kernels::Buffer(bytes_, device_ == Device::kCpu ? Memory::kHost : Memory::kDevice);
  return buffer_.data();
}

void Plan::Body::make_inputs() {
  if (device() && !on_device) on_device = std::make_unique<DeviceRun>(input_bytes);
  if (!device() && !input_memory.data()) input_memory = kernels::Buffer(report.input);
}

std::byte* Plan::Body::slot_data(int slot) {
  return apart.empty() ? arena->data() + layout.slots[slot].begin : apart[static_cast<size_t>(slot)].data();
}

std::byte* Plan::Body::base_of(Value root) {
  const Node& n = graph.node(root);
  if (n.op) return slot_data(layout.slot_of[root.node][root.output]);
  if (!n.store) {
    const size_t at = input_offsets[root.node];
    return device() ? on_device->device_input(at) : input_memory.data() + at;
  }
  const int64_t first = n.entry == kWholeStore ? 0 : n.store->entry(n.entry).offset;
  return n.store->plan_data() + static_cast<size_t>(first) * size_of(n.store->dtype());
}

/// Slots and inputs begin on a cache line; tensors of a store follow each other without gaps.
int Plan::Body::phase(const Place& place, DType dtype) const {
  const Node& n = graph.node(place.root);
  const int64_t first = n.store && n.entry != kWholeStore ? n.store->entry(n.entry).offset : 0;
  return static_cast<int>(static_cast<size_t>(first + place.offset) * size_of(dtype) % kAlignment);
}

View Plan::Body::view_at(const Place& place, const TensorSpec& spec) {
  return {base_of(place.root) + static_cast<size_t>(place.offset) * size_of(spec.dtype), spec.dtype, spec.shape,
          place.ld};
}

void Plan::Body::bind() {
  if (bound) return;
  bound = true;
  make_inputs();
  if (device() && pinned()) {  // whoever writes past an end meets another allocation, not a neighbour's values
    for (const Slot& s : layout.slots) apart.emplace_back(s.bytes, Memory::kDevice);
    apart.emplace_back(report.workspace, Memory::kDevice);
  }
  for (Step& step : steps) {
    for (size_t k = 0; k < step.in.size(); ++k)
      step.in[k].data = view_at(step.in_places[k], {step.in[k].shape, step.in[k].dtype}).data;
    for (Step::Absent& a : step.absent) a.data = step.in[a.input].data;
    for (size_t k = 0; k < step.out.size(); ++k)
      step.out[k].data = view_at(step.out_places[k], {step.out[k].shape, step.out[k].dtype}).data;
  }
  if (!apart.empty()) exec.workspace = apart.back().data();
  else exec.workspace = arena->data() + round_up(layout.arena_bytes);
  if (!device()) return;
  exec.stream = kernels::cuda::stream();
  exec.tickets = kernels::cuda::tickets();
  exec.dependent = kernels::cuda::dependent_launches();
  bind_scalars();
}

/// Outputs of one element are kept for the last runs, so that nobody needs to wait for them.
void Plan::Body::bind_scalars() {
  std::vector<DeviceRun::Scalar> scalars;
  scalar_of.assign(outputs.size(), -1);
  for (size_t i = 0; i < outputs.size(); ++i) {
    const Value v = outputs[i];
    if (graph.node(v).outputs.empty() || graph.shape(v).elements() != 1) continue;
    const View view = view_at(layout.places[v.node][v.output], graph.spec(v));
    scalar_of[i] = static_cast<int>(scalars.size());
    scalars.push_back({static_cast<const std::byte*>(view.data), size_of(view.dtype)});
  }
  on_device->set_scalars(std::move(scalars));
}

size_t Plan::Body::asked_index(Value v) const {
  const auto it = std::find(asked.begin(), asked.end(), v);
  MIXOP_CHECK(it != asked.end(), "plan: the value was not asked for when the plan was compiled");
  return static_cast<size_t>(it - asked.begin());
}

View Plan::Body::output(size_t i) {
  const View v = view_at(layout.places[outputs[i].node][outputs[i].output], graph.spec(outputs[i]));
  return device() ? to_host(v, mirrors[i]) : v;
}

/// A view of device memory copied to the host, with the same row stride.
View Plan::Body::to_host(View v, kernels::Buffer& mirror) {
  const auto elements = static_cast<size_t>((v.rows() - 1) * v.ld + v.last());
  const size_t bytes = v.rows() ? elements * size_of(v.dtype) : 0;
  if (mirror.size() < bytes) mirror = kernels::Buffer(bytes);
  kernels::cuda::download(mirror.data(), v.data, bytes);
  v.data = mirror.data();
  return v;
}

}  // namespace mixop::autograd
