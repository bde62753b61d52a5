#include "kernels/core/impl.h"

#include <cstdlib>
#include <string>
#include <string_view>

namespace mixop::kernels {

bool all_float32(const Call& call) {
  for (const View& v : call.in)
    if (v.dtype == DType::kF64) return false;
  for (const View& v : call.out)
    if (v.dtype == DType::kF64) return false;
  return true;
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
}  // namespace

const Impl& choose(const char* op, std::span<const Impl> list, const Call& call) {
  const std::string_view want = requested(op);
  for (const Impl& impl : list) {
    if (!want.empty() && want != impl.name) continue;
    if (impl.accepts(call)) return impl;
  }
  if (want.empty()) fail(op, ": no implementation accepts x=", call.in.empty() ? Shape() : call.in[0].shape);
  fail("MIXOP_IMPL asks for ", op, ":", want, ", which does not exist or does not accept this shape");
}

}  // namespace mixop::kernels
