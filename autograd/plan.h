// A graph compiled for repeated runs: pruned to what is asked, fused, laid out in one arena, bound to kernels.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/choices.h"
#include "autograd/graph.h"
#include "kernels/core/buffer.h"
#include "kernels/core/device.h"

namespace mixop::autograd {

/// Memory that plans share when they never run together: one arena of the largest plan's size, all on one device.
class Arena {
 public:
  explicit Arena(kernels::Device device = kernels::Device::kCpu) : device_(device) {}
  /// Asks for at least this many bytes; allowed until the first data().
  void reserve(size_t bytes);
  /// Allocates on first use; the address is fixed from then on.
  std::byte* data();
  size_t size() const { return bytes_; }

 private:
  kernels::Device device_;
  size_t bytes_ = 0;
  kernels::Buffer buffer_;
};

struct CompileOptions {
  enum class Mode : uint8_t {
    kPlanned,  ///< slots of the arena are reused
    kPinned    ///< no reuse, own poisoned memory, guard words, a NaN is reported at its node; the same bits
  };
  Mode mode = Mode::kPlanned;
  bool fuse = true;     ///< also needs MIXOP_FUSE != 0
  int threads = 0;      ///< 0: kernels::default_threads()
  bool poison = false;  ///< fill the arena with NaN before each run
  kernels::Device device = kernels::Device::kCpu;
  bool graph = true;                          ///< on a CUDA device: replay a captured graph; the same bits without
  bool tf32 = false;                          ///< matrix products may round their factors to TF32
  bool bf16 = false;                          ///< on a CUDA device: activations are stored as bfloat16
  std::shared_ptr<const Choices> recorded{};  ///< of the run that goes on: these and no others
  std::shared_ptr<const Choices> tuned{};     ///< where they accept, in place of the fixed choice
};

/// Bytes per memory class, and what each node needs; known before anything is allocated.
struct MemoryReport {
  size_t param = 0, state = 0, input = 0, saved = 0, scratch = 0, output = 0, arena = 0, workspace = 0;
};

/// The planner's view of one buffer in the arena: alive from step `first` to step `last`, both included.
struct Slot {
  std::string name;
  size_t begin = 0, bytes = 0;
  int first = 0, last = 0;
  bool saved = false;  ///< made in the forward pass, read in the backward pass
  Condition when{};    ///< written and read only then: what excludes it may share the bytes
};

class Plan {
 public:
  /// Values in `outputs` are readable after run(); `effects` are nodes kept for what they write (see
  /// OpDef::effect); effect nodes whose inputs are computed anyway are kept as well.
  Plan(const Graph& graph, std::vector<Value> outputs, std::shared_ptr<Arena> arena = nullptr,
       CompileOptions options = {});
  Plan(Plan&&) noexcept;
  Plan& operator=(Plan&&) noexcept;
  ~Plan();

  /// Memory of an input, to be filled before run(). Throws when the plan has no such input.
  kernels::View input(const std::string& name);
  bool has_input(const std::string& name) const;
  /// The values of all choices of the graph, from the next run on; before the first call every one is -1.
  void choose(std::span<const int32_t> values);
  /// Allocates on the first call; later calls allocate nothing. On a device it returns before the work is done.
  /// Returns the number of this run, counted from 0.
  int64_t run();
  /// A requested output in host memory, valid until another plan of the same arena runs; waits for a device.
  kernels::View output(Value v) const;
  /// The same as a number; the output must have one element.
  double scalar(Value v) const;
  /// That of an earlier run: on a device one of the last DeviceRun::kHistory, elsewhere only the last.
  double scalar(Value v, int64_t run) const;
  /// Seconds that a device worked on one of the last DeviceRun::kHistory runs, inputs included; waits for it.
  double device_seconds(int64_t run) const;

  kernels::Device device() const;
  const MemoryReport& memory() const;
  const std::vector<Slot>& slots() const;

  struct StepInfo {
    std::string op, impl, name, shape, key;
    double flops, macs;
    size_t bytes;    ///< of its outputs
    size_t traffic;  ///< of its operands, each read or written once
    bool backward;
  };
  /// The nodes in the order they run; names of ops as in OpDef (tests read these).
  std::vector<StepInfo> steps() const;
  /// A kernel call of the plan and all that could carry it out; refers to what lives as long as the plan.
  struct CallInfo {
    std::string key;
    kernels::Call call;  ///< with shapes, strides, phases and attributes; addresses are unspecified
    std::span<const kernels::Impl> list;    ///< the op's implementations on this device, accepting or not
    const kernels::Impl* chosen = nullptr;  ///< of these
  };
  /// The calls in the order they run.
  std::vector<CallInfo> calls() const;
  /// Nodes of the captured graph, 0 when there is none.
  size_t graph_nodes() const;
  /// Seconds per step, summed over runs since enable_timing(true); meanwhile a device waits after each step.
  void enable_timing(bool on);
  const std::vector<double>& seconds() const;

 private:
  struct Body;
  std::unique_ptr<Body> body_;
};

}  // namespace mixop::autograd
