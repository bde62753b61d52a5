// The one way in which kernels are started. What a kernel reads per step lies in device memory, never in its
// arguments, so that a captured launch stays valid; the grid is a function of shapes alone, never of the device, so
// that results do not depend on it.
#pragma once

#include <cuda_runtime.h>

#include <cstdint>
#include <utility>

#include "kernels/core/cuda/check.cuh"
#include "kernels/core/impl.h"

#ifndef MIXOP_NOTE_LAUNCH
#define MIXOP_NOTE_LAUNCH(name)  // the emulator keeps a list
#endif

#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 900
#define MIXOP_CAN_WAIT false
#else
#define MIXOP_CAN_WAIT true
#endif

namespace mixop::kernels::cuda {

constexpr int kWarp = 32;

inline cudaStream_t stream_of(const Exec& exec) { return static_cast<cudaStream_t>(exec.stream); }

template <class... Parameters, class... Arguments>
void launch_with(const Exec& exec, bool dependent, const char* name, void (*kernel)(Parameters...), dim3 grid,
                 dim3 block, size_t shared_bytes, Arguments&&... args) {
  if (grid.x == 0 || grid.y == 0 || grid.z == 0) return;
  MIXOP_NOTE_LAUNCH(name);
  cudaLaunchAttribute early{};
  early.id = cudaLaunchAttributeProgrammaticStreamSerialization;
  early.val.programmaticStreamSerializationAllowed = 1;
  cudaLaunchConfig_t config{};
  config.gridDim = grid;
  config.blockDim = block;
  config.dynamicSmemBytes = shared_bytes;
  config.stream = stream_of(exec);
  config.attrs = &early;
  config.numAttrs = dependent ? 1 : 0;
  const cudaError_t error = cudaLaunchKernelEx(&config, kernel, static_cast<Parameters>(args)...);
  if (error != cudaSuccess) fail_call(name, error, __FILE__, __LINE__);
}

/// Starts kernel<<<grid, block, shared_bytes>>>(args...) on the stream of `exec`. `name` is the kernel's name in
/// the source: a test checks that every kernel has been run under emulation. A launch with an empty grid does
/// nothing.
template <class... Parameters, class... Arguments>
void launch(const Exec& exec, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
            size_t shared_bytes, Arguments&&... args) {
  launch_with(exec, false, name, kernel, grid, block, shared_bytes, std::forward<Arguments>(args)...);
}

/// The same for a kernel that calls wait_for_earlier(): its blocks may take their places while the kernel ahead is
/// still at work ("programmatic dependent launch" in the CUDA guide).
template <class... Parameters, class... Arguments>
void launch_dependent(const Exec& exec, const char* name, void (*kernel)(Parameters...), dim3 grid, dim3 block,
                      size_t shared_bytes, Arguments&&... args) {
  launch_with(exec, exec.dependent, name, kernel, grid, block, shared_bytes, std::forward<Arguments>(args)...);
}

/// The next kernel may take the places that this one leaves free; it still waits for all that this one does.
__device__ __forceinline__ void let_next_start() {
#if MIXOP_CAN_WAIT
  cudaTriggerProgrammaticLaunchCompletion();
#endif
}

/// Waits until everything ahead of this kernel is done and visible, and lets the next kernel come as far as this.
/// Every thread calls it, before it touches device memory. Pointers of such a kernel are not __restrict__: the
/// compiler would take what they point at for constant from the start, and may read it before the wait.
__device__ __forceinline__ void wait_for_earlier() {
  let_next_start();
#if MIXOP_CAN_WAIT
  cudaGridDependencySynchronize();
#endif
}

template <class T>
constexpr T ceil_div(T a, T b) {
  return (a + b - 1) / b;
}

/// Dynamic shared memory that a block may have beside 1 KB of arrays of its own: in any launch, and of a kernel
/// that has opted in, on every device from sm_80 on.
constexpr size_t kSharedBytes = 47 << 10, kMostSharedBytes = 98 << 10;

template <class... Parameters>
void opt_in_to_shared(void (*kernel)(Parameters...)) {
  MIXOP_CUDA_CHECK(cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize,
                                        static_cast<int>(kMostSharedBytes)));
}

/// Blocks of `block` threads for n independent items, at most `most`: kernels walk with a grid stride.
inline dim3 grid_for(int64_t n, int block, int64_t most = 4096) {
  const int64_t blocks = ceil_div<int64_t>(n, block);
  return dim3(static_cast<unsigned>(blocks < most ? blocks : most));
}

}  // namespace mixop::kernels::cuda
