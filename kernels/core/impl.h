// An op's implementations: an ordered list, first that accepts wins, the plain reference is last and takes
// anything.
#pragma once

#include <span>

#include "kernels/core/exec.h"
#include "kernels/core/tensor.h"

namespace mixop::kernels {

/// One call of a kernel: everything is bound before the first run, so running is a plain function call.
struct Call {
  const Exec* exec = nullptr;
  std::span<const View> in;
  std::span<const Out> out;
  const void* attrs = nullptr;

  template <class A>
  const A& attr() const {
    return *static_cast<const A*>(attrs);
  }
};

struct Impl {
  const char* name;
  bool (*accepts)(const Call&);  ///< looks at shapes, strides, types and attributes only (data may be null)
  void (*run)(const Call&);
  size_t (*workspace)(const Call&) = nullptr;  ///< bytes for exec->threads threads; null: none
};

inline bool any(const Call&) { return true; }
/// True when every float operand is float32 (the fast paths' type).
bool all_float32(const Call&);

/// The first implementation that accepts, unless MIXOP_IMPL ("conv2d:ref,pool:ref") names another for this op.
/// Throws when the named one does not exist or does not accept.
const Impl& choose(const char* op, std::span<const Impl> list, const Call& call);

/// Calls f.template operator()<T>() with the float type of the view.
template <class F>
void with_float(DType t, F&& f) {
  if (t == DType::kF64) f.template operator()<double>();
  else f.template operator()<float>();
}

}  // namespace mixop::kernels
