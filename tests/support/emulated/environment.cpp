// The command on an emulated device: MIXOP_EMULATION_MEMORY (bytes) makes the device small,
// MIXOP_EMULATION_DEVICES=0 takes it away, MIXOP_EMULATION_DRIVER=12040 makes the driver old (0: there is none),
// MIXOP_EMULATION_CODE=0 gives a device for which there are no kernels.
#include <cstdlib>

#include "tests/support/cuda_emulation.h"
#include "tests/support/emulated/cuda_runtime.h"

namespace {

[[maybe_unused]] const bool kRead = [] {
  if (const char* bytes = std::getenv("MIXOP_EMULATION_MEMORY"))
    mixop::emulation::set_memory(std::strtoull(bytes, nullptr, 10));
  if (const char* count = std::getenv("MIXOP_EMULATION_DEVICES")) mixop::emulation::set_devices(std::atoi(count));
  if (const char* driver = std::getenv("MIXOP_EMULATION_DRIVER"))
    mixop::emulation::driver_version = std::atoi(driver);
  if (const char* code = std::getenv("MIXOP_EMULATION_CODE")) mixop::emulation::has_code = std::atoi(code) != 0;
  return true;
}();

}  // namespace
