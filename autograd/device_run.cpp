#include "autograd/device_run.h"

#include <cstring>

#include "autograd/passes/passes.h"

namespace mixop::autograd {

using kernels::Memory;
namespace cuda = kernels::cuda;

constexpr size_t kScalarBytes = 8;

DeviceRun::DeviceRun(std::vector<size_t> input_bytes) {
  for (const size_t bytes : input_bytes) {
    inputs_.push_back({bytes, slot_bytes_, kernels::Buffer(bytes, Memory::kDevice)});
    slot_bytes_ += (bytes + kAlignment - 1) / kAlignment * kAlignment;
    cuda::fill(inputs_.back().memory.data(), 0, bytes);  // what nobody feeds is zero, as on the CPU
  }
  for (Slot& slot : slots_) {
    slot.memory = kernels::Buffer(slot_bytes_, Memory::kPinned);
    if (slot_bytes_) std::memset(slot.memory.data(), 0, slot_bytes_);
    slot.taken = std::make_unique<cuda::Event>();
  }
}

std::byte* DeviceRun::staging(size_t input) {
  if (!fed_) {
    const std::byte* last = slots_[slot_].memory.data();
    slot_ = 1 - slot_;
    slots_[slot_].taken->wait();
    if (slot_bytes_ && runs_ > 0) std::memcpy(slots_[slot_].memory.data(), last, slot_bytes_);
    fed_ = true;
  }
  return slots_[slot_].memory.data() + inputs_[input].offset;
}

void DeviceRun::set_scalars(std::vector<Scalar> scalars) {
  scalars_ = std::move(scalars);
  ring_ = kernels::Buffer(scalars_.size() * kHistory * kScalarBytes, Memory::kPinned);
  for (int64_t i = 0; i < kHistory; ++i) {
    begun_.push_back(std::make_unique<cuda::Event>());
    done_.push_back(std::make_unique<cuda::Event>());
  }
}

int64_t DeviceRun::run(const std::function<void()>& work, bool graph) {
  const auto place = static_cast<size_t>(runs_ % kHistory);
  begun_[place]->record();
  if (fed_) {
    for (const Input& input : inputs_)
      cuda::upload(input.memory.data(), slots_[slot_].memory.data() + input.offset, input.bytes);
    slots_[slot_].taken->record();
    fed_ = false;
  }
  if (!graph || runs_ == 0) {
    work();
  } else {
    if (!graph_) graph_ = std::make_unique<cuda::CapturedGraph>(work);
    graph_->launch();
  }
  for (size_t i = 0; i < scalars_.size(); ++i)
    cuda::download_later(ring_.data() + (place * scalars_.size() + i) * kScalarBytes, scalars_[i].device,
                         scalars_[i].bytes);
  done_[place]->record();
  return runs_++;
}

size_t DeviceRun::place_of(int64_t run) const {
  MIXOP_CHECK(run >= 0 && run < runs_ && run >= runs_ - kHistory, "plan: the numbers of run ", run, " of ", runs_,
              " are not there any more: only those of the last ", kHistory, " are kept");
  return static_cast<size_t>(run % kHistory);
}

const std::byte* DeviceRun::scalar(size_t i, int64_t run) const {
  const size_t place = place_of(run);
  done_[place]->wait();
  return ring_.data() + (place * scalars_.size() + i) * kScalarBytes;
}

double DeviceRun::seconds(int64_t run) const {
  const size_t place = place_of(run);
  done_[place]->wait();
  return done_[place]->seconds_since(*begun_[place]);
}

}  // namespace mixop::autograd
