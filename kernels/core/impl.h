// An op's implementations: an ordered list, first that accepts (and is preferred) wins, the plain reference is last
// and takes anything.
#pragma once

#include <span>
#include <string_view>

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
  bool (*accepts)(const Call&);  ///< looks at shapes, strides, phases, types and attributes only (data may be null)
  void (*run)(const Call&);
  size_t (*workspace)(const Call&) = nullptr;  ///< bytes for exec->threads threads; null: none
  /// The fixed table of default choices, asked before accepts(): false leaves the call to later entries unless this
  /// one is named. Null: wherever it accepts.
  bool (*prefers)(const Call&) = nullptr;
};

/// An implementation that a tuning file or a resumed run names for one call.
struct Wish {
  std::string_view name;  ///< empty: none
  bool must = false;      ///< nothing else will do, as when a run goes on that recorded it
};

inline bool any(const Call&) { return true; }
/// True when every float operand is float32 (the fast paths' type).
bool all_float32(const Call&);
/// The same where float32 may be stored as bfloat16.
bool all_float32_or_bf16(const Call&);

/// The implementation of `op` for this call. Strongest first: the one that MIXOP_IMPL ("conv2d:ref,pool:ref") names
/// for the op; the wish, if it accepts; the first entry that accepts and prefers the call. Throws when MIXOP_IMPL
/// or a wish that must be met names what does not exist or accept here, and when the list is empty or nothing
/// accepts.
const Impl& choose(const char* op, std::span<const Impl> list, const Call& call, const Wish& wish = {});

/// Calls f.template operator()<T>() with the float type of the view.
template <class F>
void with_float(DType t, F&& f) {
  if (t == DType::kF64) f.template operator()<double>();
  else f.template operator()<float>();
}

}  // namespace mixop::kernels
