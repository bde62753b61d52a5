#include "kernels/core/impl.h"

#include <algorithm>
#include <cstdlib>
#include <string>
#include <string_view>

namespace mixop::kernels {

bool all_float32(const Call& call) {
  const auto other = [](const View& v) { return v.dtype == DType::kF64 || v.dtype == DType::kBF16; };
  return std::none_of(call.in.begin(), call.in.end(), other) &&
         std::none_of(call.out.begin(), call.out.end(), other);
}

bool all_float32_or_bf16(const Call& call) {
  const auto other = [](const View& v) { return v.dtype == DType::kF64; };
  return std::none_of(call.in.begin(), call.in.end(), other) &&
         std::none_of(call.out.begin(), call.out.end(), other);
}

namespace {
/// The implementation that MIXOP_IMPL asks for, or empty.
std::string_view requested(std::string_view op) {
  const char* env = std::getenv("MIXOP_IMPL");
  std::string_view rest = env ? env : "";
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::string_view item = rest.substr(0, comma);
    const size_t colon = item.find(':');
    if (colon != std::string_view::npos && item.substr(0, colon) == op) return item.substr(colon + 1);
    rest = comma == std::string_view::npos ? std::string_view() : rest.substr(comma + 1);
  }
  return {};
}

/// The entry of this name that accepts, or null.
const Impl* named(std::span<const Impl> list, std::string_view name, const Call& call) {
  for (const Impl& impl : list)
    if (name == impl.name && impl.accepts(call)) return &impl;
  return nullptr;
}

/// The names of all entries that accept, for messages.
std::string accepting(std::span<const Impl> list, const Call& call) {
  std::string names;
  for (const Impl& impl : list)
    if (impl.accepts(call)) names += names.empty() ? text(impl.name) : text(", ", impl.name);
  return names.empty() ? "none" : names;
}

Shape first_shape(const Call& call) { return call.in.empty() ? Shape() : call.in[0].shape; }
}  // namespace

const Impl& choose(const char* op, std::span<const Impl> list, const Call& call, const Wish& wish) {
  if (list.empty())
    fail(op, " has no implementation for this device in this build; rebuild with CUDA, or run on the CPU");
  if (const std::string_view name = requested(op); !name.empty()) {
    if (const Impl* impl = named(list, name, call)) return *impl;
    fail("MIXOP_IMPL asks for ", op, ":", name, ", which does not exist or does not accept x=", first_shape(call),
         "; these do: ", accepting(list, call));
  }
  if (!wish.name.empty()) {
    if (const Impl* impl = named(list, wish.name, call)) return *impl;
    if (wish.must) {
      fail("the run recorded ", op, ":", wish.name, " for x=", first_shape(call),
           ", which is not available here; continue where it is, or set MIXOP_IMPL=", op, ":NAME (",
           accepting(list, call), ") and accept results that differ in rounding");
    }
  }
  for (const Impl& impl : list)
    if ((!impl.prefers || impl.prefers(call)) && impl.accepts(call)) return impl;
  fail(op, ": no implementation accepts x=", first_shape(call));
}

}  // namespace mixop::kernels
