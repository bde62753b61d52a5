// The passes between a graph and a plan: prune, fuse and group, memory.
#pragma once

#include <vector>

#include "autograd/graph.h"
#include "autograd/plan.h"

namespace mixop::autograd {

/// A copy of the graph with only what the outputs need, and the effect nodes (running statistics) all of whose
/// computed inputs are among that. `outputs` are renumbered.
Graph prune(const Graph& graph, std::vector<Value>& outputs);

/// Replaces composites by their fused forms: relu and batch norm on load, relu masks and gradient scales in place.
/// A producer is absorbed only when every consumer can absorb it, so that nothing is computed twice and stored too.
void fuse(Graph& graph, const std::vector<Value>& outputs);

/// Poolings with the statistics of their results, and the way back through both (fuse_pool.cpp).
void fuse_pool(Graph& graph, std::vector<Value>& outputs);

/// The mask of a sum of data gradients becomes one of each of them (distribute_masks.cpp).
void distribute_masks(Graph& graph, std::vector<Value>& outputs);

/// The way back through all candidates of a state that have no weights becomes one group, and so do poolings of one
/// state; with `apart`, which saves launches on a device, those of several states become one node
/// (group_pools.cpp).
void group_pools(Graph& graph, std::vector<Value>& outputs, bool apart);

/// The composites that have kernels of their own, one pass each: separable convolutions (fuse_separable.cpp).
void fuse_separable(Graph& graph, std::vector<Value>& outputs);
/// The 1x1 convolutions that are left, with a relu before them and a norm behind (fuse_pointwise.cpp).
void fuse_pointwise(Graph& graph, std::vector<Value>& outputs);
/// All reductions of one arriving gradient become one mix_reduce (fuse_mix.cpp).
void fuse_mix(Graph& graph, std::vector<Value>& outputs);

/// Several scaled values in a sum become one mix (fuse_scales.cpp).
void fuse_scales(Graph& graph, std::vector<Value>& outputs);

/// Separable convolutions of one input, and their gradients, become one node as far as the order allows; with
/// `apart` those of different inputs too, and weight gradients of many, which saves launches on a device and gains
/// nothing on a CPU (group_separable.cpp). Prunes the graph.
void group_separable(Graph& graph, std::vector<Value>& outputs, bool apart);
/// Sums of gradients, and views, stand directly behind the last of their inputs, so that who reads them can come
/// early (hoist_sums.cpp).
void hoist_sums(Graph& graph, std::vector<Value>& outputs);
/// Several bn_reduce become one, and so do the bn_rstd of an evaluation, for a device (group_reductions.cpp).
/// Prunes the graph.
void group_reductions(Graph& graph, std::vector<Value>& outputs);

/// All of these in order: composites become nodes of their own, and as few as suits the device.
void lower(Graph& graph, std::vector<Value>& outputs, bool device);

/// A norm is applied by its readers while they load, where all of them can (absorb_norms.cpp).
void absorb_norms(Graph& graph, const std::vector<Value>& outputs);

/// Stores what can be stored so as bfloat16 (storage.cpp); the last pass before memory.
void store_bf16(Graph& graph, const std::vector<Value>& outputs);

/// Where a value lies: `offset` elements into the buffer of value `root`, rows `ld` elements apart.
struct Place {
  Value root;
  int64_t offset = 0, ld = 0;
};

/// One kernel call to come: a node, a copy into the place of an alias node (concatenation, sum, pack, reshape), or
/// zeros in the place of what nobody has written.
struct PlannedStep {
  int node = -1;
  Value copy_from{};                     ///< set for copies: source value
  Value zeros{};                         ///< set for zeros: the value in whose place or shape they are
  Place to{};                            ///< of copies and zeros
  std::vector<kernels::Write> writes{};  ///< of each output
  std::vector<int> sums{};        ///< of each output: the sum whose first writer of a run sets; -1: as `writes`
  std::vector<Condition> when{};  ///< carried out while all hold
  std::vector<int> unless{};      ///< zeros: not where one of these steps has been carried out
};

struct Layout {
  std::vector<std::vector<Place>> places;  ///< [node][output]
  std::vector<PlannedStep> steps;
  std::vector<Slot> slots;
  std::vector<std::vector<int>> slot_of;  ///< [node][output] of a root in the arena, else -1
  size_t arena_bytes = 0;
  int sums = 0;  ///< whose first writer differs from run to run
};

/// Aliases free ops, decides set or add, and gives each buffer an offset such that no two that live at once
/// overlap. With `pinned` every buffer has a place of its own, with a guard word behind it.
Layout plan_memory(const Graph& graph, const std::vector<Value>& outputs, bool pinned);

constexpr size_t kAlignment = 64;  ///< bytes; a cache line and an AVX-512 vector
constexpr size_t kGuardBytes = 64;

}  // namespace mixop::autograd
