// The traffic model, bench/DESIGN.md: bytes that a fused step of the DARTS supernet moves when every tensor between
// kernels goes to memory once and comes back once for each kernel that reads it.
#pragma once

#include "nas/supernet.h"

namespace mixop::bench {

struct Traffic {
  double forward = 0, backward = 0;
  double both() const { return forward + backward; }
};

/// Bytes of all cells for one batch, without their preprocessing, stem and head; in units of T, the bytes of one
/// node, 191 forward and 280 backward for a normal cell of 4 nodes. Equal for both halves of a search step, since
/// weight gradients and those of the alphas come from tensors that are read anyway.
Traffic model_traffic(const nas::SupernetOptions& net, int64_t batch);

}  // namespace mixop::bench
