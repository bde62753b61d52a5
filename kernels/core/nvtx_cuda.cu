// Ranges for profilers. Apart from device_cuda.cu because the emulator has no NVTX.
#include <nvtx3/nvToolsExt.h>

#include "kernels/core/device.h"

namespace mixop::kernels::cuda {

ProfilerRange::ProfilerRange(const char* name) { nvtxRangePushA(name); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace mixop::kernels::cuda
