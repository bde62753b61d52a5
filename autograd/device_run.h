// Feeding, repeating and reading a plan on a CUDA device without waiting for it: two staging slots for inputs, one
// captured graph of all kernels, and a ring of the scalars of the last runs.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "kernels/core/buffer.h"
#include "kernels/core/device.h"

namespace mixop::autograd {

class DeviceRun {
 public:
  /// Runs whose scalars can still be read.
  static constexpr int64_t kHistory = 64;

  explicit DeviceRun(std::vector<size_t> input_bytes);

  /// Page-locked memory of an input for the next run; holds what the last run was fed with. Waits only when both
  /// slots are still on their way to the device.
  std::byte* staging(size_t input);
  /// Device memory of an input; fixed.
  std::byte* device_input(size_t input) const { return inputs_[input].memory.data(); }

  /// Values on the device that every run leaves in the ring; before the first run.
  struct Scalar {
    const std::byte* device;
    size_t bytes;  ///< at most 8
  };
  void set_scalars(std::vector<Scalar> scalars);

  /// Puts one run on the stream and returns its number, counted from 0. The first calls `work` (the warm-up); with
  /// `graph` the second captures it and from then on the capture is replayed.
  int64_t run(const std::function<void()>& work, bool graph);
  int64_t runs() const { return runs_; }
  /// Scalar i of a run; waits for it. Throws when the run is none of the last kHistory.
  const std::byte* scalar(size_t i, int64_t run) const;
  /// Seconds on the device from the beginning of a run to its end; waits for it. Throws as scalar() does.
  double seconds(int64_t run) const;
  /// Nodes of the captured graph; 0 before there is one.
  size_t graph_nodes() const { return graph_ ? graph_->nodes() : 0; }

 private:
  struct Input {
    size_t bytes, offset;  ///< in a staging slot
    kernels::Buffer memory;
  };
  struct Slot {
    kernels::Buffer memory;
    std::unique_ptr<kernels::cuda::Event> taken;  ///< the device has its copy
  };
  std::vector<Input> inputs_;
  std::array<Slot, 2> slots_;
  size_t slot_ = 0, slot_bytes_ = 0;
  bool fed_ = false;

  std::vector<Scalar> scalars_;
  kernels::Buffer ring_;
  std::vector<std::unique_ptr<kernels::cuda::Event>> begun_, done_;  ///< [run % kHistory]
  size_t place_of(int64_t run) const;
  std::unique_ptr<kernels::cuda::CapturedGraph> graph_;
  int64_t runs_ = 0;
};

}  // namespace mixop::autograd
