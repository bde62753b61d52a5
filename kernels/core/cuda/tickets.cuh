// Who comes last: the block whose part completes a job goes on with the job, so that nobody has to start a second
// kernel for it. What it merges it takes in a fixed order, whoever it is, so that equal inputs give equal bits.
#pragma once

#include "kernels/core/cuda/launch.cuh"
#include "kernels/core/cuda/shared.cuh"

namespace mixop::kernels::cuda {

/// True for all threads of the block that comes last of `blocks` to this ticket, one of exec.tickets; it sees what
/// the others wrote before they came. The ticket is 0 before and after, so that kernels can share it one after the
/// other. All threads must call.
__device__ __forceinline__ bool last_block(unsigned* ticket, unsigned blocks) {
  MIXOP_SHARED(unsigned, last, 1);
  __threadfence();  // what this thread wrote comes before the ticket
  __syncthreads();
  if (threadIdx.x == 0 && threadIdx.y == 0) last[0] = atomicInc(ticket, blocks - 1) == blocks - 1 ? 1u : 0u;
  __syncthreads();
  const bool is_last = last[0] != 0;
  __threadfence();
  __syncthreads();  // the array may be used again at once
  return is_last;
}

}  // namespace mixop::kernels::cuda
