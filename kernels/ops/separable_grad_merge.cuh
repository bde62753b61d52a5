// Sums over the blocks of a kernel by the blocks that come last, in a fixed order.
#pragma once

#include <algorithm>

#include "kernels/core/cuda/tickets.cuh"

namespace mixop::kernels {

/// Blocks that are merged by the last one of them; what these leave is merged by the last one of all.
__host__ __device__ constexpr int merge_fan(int64_t blocks) {
  int fan = 8;
  while (int64_t{fan} * fan < blocks) fan *= 2;
  return fan;
}
/// Tickets that merge_partials takes.
constexpr int64_t merge_tickets(int64_t blocks) { return 1 + cuda::ceil_div<int64_t>(blocks, merge_fan(blocks)); }

/// write(e, sum of element e over n rows) for all of them: a thread owns elements.
template <class F>
__device__ __forceinline__ void add_rows(const float* rows, int64_t pitch, int n, int size, F&& write) {
  for (int e = static_cast<int>(threadIdx.x); e < size; e += static_cast<int>(blockDim.x)) {
    double sum = 0;
#pragma unroll 4
    for (int r = 0; r < n; ++r) sum += rows[r * pitch + e];
    write(e, sum);
  }
}

/// The block that comes last of `blocks` calls write(e, sum over all blocks of partial[block][e]). All threads must
/// call, after what the block has written there.
template <class F>
__device__ __forceinline__ void merge_partials(float* partial, int size, int block, int blocks, unsigned* tickets,
                                               F&& write) {
  const int fan = merge_fan(blocks), team = block / fan, teams = (blocks + fan - 1) / fan;
  const int members = min(fan, blocks - team * fan);
  float* const first = partial + int64_t{team} * fan * size;
  if (!cuda::last_block(tickets + 1 + team, static_cast<unsigned>(members))) return;
  if (teams == 1) return add_rows(first, size, members, size, write);
  add_rows(first, size, members, size, [&](int e, double sum) { first[e] = static_cast<float>(sum); });
  if (cuda::last_block(tickets, static_cast<unsigned>(teams)))
    add_rows(partial, int64_t{fan} * size, teams, size, write);
}

}  // namespace mixop::kernels
