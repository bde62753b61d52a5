// A sum (or another reduction) of many blocks without a second kernel: each leaves its part, and who comes last
// adds them up. Where the parts are many that happens in two rounds, as one block alone reads slowly: the last of
// each group merges the group, the last group the groups. Parts are taken in order, whoever takes them, and how
// they are grouped depends on their number and size alone, so that equal inputs give equal bits.
#pragma once

#include <algorithm>

#include "kernels/core/cuda/tickets.cuh"

namespace mixop::kernels::cuda {

/// How the parts of one job are merged: in groups of `fan`.
struct MergeTree {
  int parts = 1, fan = 1;

  MergeTree() = default;
  /// For parts of `size` numbers and blocks of `threads`.
  MergeTree(int64_t parts_, int64_t size, int threads) : parts(static_cast<int>(parts_)), fan(parts) {
    constexpr int64_t kReads = 16;  // of a thread in one round, about
    if (parts <= kReads * std::max<int64_t>(1, threads / size)) return;
    for (fan = 2; int64_t{fan} * fan < parts;) fan *= 2;
  }
  __host__ __device__ int groups() const { return ceil_div(parts, fan); }
  /// Of a job.
  __host__ __device__ int tickets() const { return parts == 1 ? 0 : 1 + groups(); }
};

/// The tickets of a launch that needs `count`.
inline unsigned* tickets_for(const Exec& exec, int64_t count) {
  MIXOP_CHECK(count <= kTickets, "a kernel needs ", count, " tickets, there are ", kTickets);
  return exec.tickets;
}

/// What is computed: the type in which it goes on, its neutral element, how two results become one.
struct Addition {
  using Partial = double;
  static constexpr double kNone = 0;
  __device__ double merge(double a, double b) const { return a + b; }
};

/// put(i, result) for each of `size` numbers, result that of from[i], from[i + stride], .., `count` of them. All
/// kThreads threads must call; where numbers are few, several threads share one.
template <int kThreads, class Op, class T, class Put>
__device__ __forceinline__ void merge_column(const Op& op, const T* from, int64_t stride, int count, int size,
                                             Put&& put) {
  using Partial = typename Op::Partial;
  MIXOP_SHARED(Partial, shares, kThreads);
  int lanes = 1;
  while (lanes * 2 * size <= kThreads && lanes < count) lanes *= 2;
  const int columns = kThreads / lanes, thread = static_cast<int>(threadIdx.x);
  const int column = thread % columns, lane = thread / columns;
  for (int base = 0; base < size; base += columns) {
    const int i = base + column;
    Partial mine = Op::kNone;
    if (i < size) {
#pragma unroll 8
      for (int p = lane; p < count; p += lanes) mine = op.merge(mine, static_cast<Partial>(from[p * stride + i]));
    }
    if (lanes > 1) {
      shares[thread] = mine;
      __syncthreads();
      if (lane == 0)
        for (int other = 1; other < lanes; ++other) mine = op.merge(mine, shares[other * columns + column]);
      __syncthreads();  // the array may be used again at once
    }
    if (lane == 0 && i < size) put(i, mine);
  }
}

/// Merges the parts of a job, part p at parts + p * stride and `size` numbers of it used, once all its blocks have
/// come here with theirs written: true for all threads of the one block that has then given the results to put(i,
/// result). `tickets` are the job's own, tree.tickets() of them. All threads must call.
template <int kThreads, class Op, class T, class Put>
__device__ __forceinline__ bool merge_parts(const MergeTree& tree, const Op& op, int part, T* parts, int size,
                                            int stride, unsigned* tickets, Put&& put) {
  const int group = part / tree.fan, first = group * tree.fan, groups = tree.groups();
  const int members = min(tree.fan, tree.parts - first);
  if (!last_block(tickets + 1 + group, static_cast<unsigned>(members))) return false;
  if (groups == 1) {
    merge_column<kThreads>(op, parts, stride, members, size, put);
    return true;
  }
  T* const own = parts + static_cast<int64_t>(first) * stride;
  merge_column<kThreads>(op, own, stride, members, size, [&](int i, auto v) { own[i] = static_cast<T>(v); });
  if (!last_block(tickets, static_cast<unsigned>(groups))) return false;
  merge_column<kThreads>(op, parts, int64_t{tree.fan} * stride, groups, size, put);
  return true;
}

}  // namespace mixop::kernels::cuda
