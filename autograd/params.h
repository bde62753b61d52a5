// Named tensors that outlive a plan: weights, alphas, running statistics, learning rates, counters.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "kernels/core/buffer.h"
#include "kernels/core/device.h"
#include "kernels/core/tensor.h"

namespace mixop::autograd {

/// How a new tensor is filled; random numbers depend on the store's seed and the tensor's name only.
struct Init {
  enum class Kind : uint8_t { kZeros, kConstant, kUniform, kNormal } kind = Kind::kZeros;
  double value = 0;  ///< the constant, the half-width of the uniform range or the standard deviation
  static Init zeros() { return {}; }
  static Init constant(double v) { return {Kind::kConstant, v}; }
  static Init uniform(double half_width) { return {Kind::kUniform, half_width}; }
  static Init normal(double deviation) { return {Kind::kNormal, deviation}; }
};

/// One flat buffer with named tensors packed in the order of their creation, without gaps. Grows until the first
/// plan binds it; then its address is fixed. On a device the store has a twin in host memory: plans use the former,
/// everybody else the latter, and it is copied when the other side has been used since. A host view is valid until
/// the next plan runs.
class TensorStore {
 public:
  struct Entry {
    std::string name;
    kernels::Shape shape;
    int64_t offset;  ///< elements from the start of the flat buffer
  };

  TensorStore(std::string name, kernels::DType dtype, uint64_t seed = 0)
      : name_(std::move(name)), dtype_(dtype), seed_(seed) {}

  /// The entry's index; throws when the name exists with another shape or the store is already bound.
  int find_or_create(const std::string& name, const kernels::Shape& shape, const Init& init);
  /// -1 when there is none.
  int find(const std::string& name) const;

  const std::string& name() const { return name_; }
  kernels::DType dtype() const { return dtype_; }
  int64_t elements() const { return elements_; }
  const std::vector<Entry>& entries() const { return entries_; }
  const Entry& entry(int i) const { return entries_[i]; }
  /// Where plans find the tensors. Throws when the store is bound elsewhere already.
  void place(kernels::Device device);
  kernels::Device device() const { return device_; }
  /// Allocates and initialises what has been created so far; later creation throws. Idempotent.
  void bind();
  bool bound() const { return bound_; }
  /// The tensors in host memory, up to date; changes made there reach a device before the next run.
  std::byte* data();
  /// Memory that plans bind, on device(); its address is fixed.
  std::byte* plan_data();
  /// Before a plan runs: its memory is up to date, and newer than the host's from then on.
  void hand_to_plan();
  kernels::View view(int entry);
  kernels::View flat();
  /// A scalar entry of a bound store, as double; for learning rates and counters.
  double get(const std::string& name);
  void set(const std::string& name, double value);

 private:
  void initialise(size_t entry);
  std::string name_;
  kernels::DType dtype_;
  uint64_t seed_;
  std::vector<Entry> entries_;
  std::vector<Init> inits_;
  std::map<std::string, int> index_;
  int64_t elements_ = 0;
  bool bound_ = false;
  kernels::Device device_ = kernels::Device::kCpu;
  bool host_newer_ = true;  ///< on a device: which side was used last
  kernels::Buffer buffer_, twin_;
  size_t bytes() const { return static_cast<size_t>(elements_) * size_of(dtype_); }
};

}  // namespace mixop::autograd
