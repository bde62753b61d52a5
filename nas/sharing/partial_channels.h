// Partial channels (PC-DARTS, Xu et al. 2020, arXiv 1907.05737): on every edge the first 1/K of the channels go
// through the candidates and the others pass by them (max pool 2x2 where the edge has stride 2); both are joined
// and the channels shuffled, so that all of them come through the candidates in time. As parameter-free candidates
// then gain from few channels, the edges get weights of their own, the betas, softmaxed over what enters a node.
#pragma once

#include <memory>

#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// Softmax of betas [edges, 1] over the incoming edges of each node (2, 3, 4, ... of them).
Value softmax_by_node(Graph& g, Value betas);

/// What each edge makes is weighted: table[e][k] becomes edges[e] table[e][k]. `edges` is [edges, 1].
Mixing weigh_edges(Graph& g, const Mixing& mixing, Value edges);

/// The supernet with one in `options.partial` channels in the candidates, at least 2. Its tables are those of
/// darts_mixed_space and "betas_normal", "betas_reduce" [edges, 1]; what it is given for them is normalised, the
/// betas over the edges of a node. Architectures are those of the largest products alpha * beta.
std::unique_ptr<MixedSpace> partial_channels_space(const SupernetOptions& options);

}  // namespace mixop::nas
