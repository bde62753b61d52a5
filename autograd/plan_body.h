// What a compiled plan consists of: made by plan_compile.cpp, given addresses by plan_bind.cpp, carried out by
// plan_run.cpp.
#pragma once

#include <map>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "autograd/device_run.h"
#include "autograd/passes/passes.h"
#include "autograd/plan.h"

namespace mixop::autograd {

inline size_t round_up(size_t n) { return (n + kAlignment - 1) / kAlignment * kAlignment; }

struct Plan::Body {
  /// A kernel with its operands; views are filled in when the plan binds.
  struct Step {
    const kernels::Impl* impl = nullptr;
    std::span<const kernels::Impl> list;  ///< of which it was chosen
    int node = -1;
    bool copy = false, zeros = false;
    std::vector<kernels::View> in;
    std::vector<kernels::Out> out;
    std::vector<Place> in_places, out_places;
    std::vector<Condition> when;  ///< as in PlannedStep, like the next two
    std::vector<int> unless, sums;
    struct Absent {
      size_t input;
      Condition when;
      void* data = nullptr;  ///< else
    };
    std::vector<Absent> absent{};  ///< terms that are left out, their z being null, unless the condition holds
    kernels::Call call;
    std::string key;
    std::string label;  ///< in a profiler's time line: "conv2d (depthwise) cells.0.edge.3..."
  };

  Graph graph;
  std::vector<Value> asked, outputs;  // as the caller names them, and renumbered
  std::shared_ptr<Arena> arena;
  CompileOptions options;
  Layout layout;
  std::vector<Step> steps;
  kernels::Exec exec;
  std::map<std::string, int> inputs;  // name -> node
  std::vector<size_t> input_offsets;  // by node; on a device its number
  std::vector<size_t> input_bytes;    // by number
  kernels::Buffer input_memory;
  MemoryReport report;
  bool bound = false, timed = false;
  std::vector<double> seconds;
  int64_t runs = 0;

  // On a device.
  std::unique_ptr<DeviceRun> on_device;
  std::vector<kernels::Buffer> apart;  // pinned mode: a buffer of its own for each slot, then the workspace
  std::vector<int> scalar_of;          // [asked] its number among the scalars of a run, or -1
  std::map<size_t, kernels::Buffer> mirrors;
  std::vector<TensorStore*> stores;

  bool pinned() const { return options.mode == CompileOptions::Mode::kPinned; }
  bool device() const { return options.device != kernels::Device::kCpu; }

  std::vector<int32_t> chosen;    ///< of each choice of the graph
  std::vector<bool> done, begun;  ///< in this run: steps carried out, sums written

  void choose(std::span<const int32_t> values);
  void make_steps();
  void choose(Step& step, const char* op, std::span<const kernels::Impl> list);
  void measure();
  void make_inputs();
  void bind();
  void bind_scalars();
  std::byte* slot_data(int slot);
  std::byte* base_of(Value root);
  int phase(const Place& place, DType dtype) const;
  kernels::View view_at(const Place& place, const TensorSpec& spec);
  kernels::View to_host(kernels::View v, kernels::Buffer& mirror);
  void poison();
  void check(const Step& step);
  bool due(const Step& step) const;
  void prepare(Step& step);
  void run_steps();
  size_t asked_index(Value v) const;
  kernels::View output(size_t i);
};

}  // namespace mixop::autograd
