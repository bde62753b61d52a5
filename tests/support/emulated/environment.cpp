// The command on an emulated device: MIXOP_EMULATION_MEMORY (bytes) makes the device small, MIXOP_EMULATION_DEVICES=0
// takes it away.
#include <cstdlib>

#include "tests/support/cuda_emulation.h"
#include "tests/support/emulated/cuda_runtime.h"

namespace {

[[maybe_unused]] const bool kRead = [] {
  if (const char* bytes = std::getenv("MIXOP_EMULATION_MEMORY"))
    mixop::emulation::set_memory(std::strtoull(bytes, nullptr, 10));
  if (const char* count = std::getenv("MIXOP_EMULATION_DEVICES")) mixop::emulation::set_devices(std::atoi(count));
  return true;
}();

}  // namespace
