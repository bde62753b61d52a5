// Nodes that are carried out under conditions (Graph::When): what passes must respect, and what is to be done where
// a node is not carried out.
#pragma once

#include <vector>

#include "autograd/graph.h"

namespace mixop::autograd {

/// The two nodes are carried out at the same times.
inline bool same_condition(const Graph& g, int a, int b) { return g.node(a).when == g.node(b).when; }
/// Node `producer` is carried out whenever node `reader` is; sources always are.
inline bool there_for(const Graph& g, int producer, int reader) {
  return !g.node(producer).when || same_condition(g, producer, reader);
}
/// Input `input` of node `reader`, a value of `producer`, may become the producer's first input, the producer's
/// work being done on load: nothing is read then that is absent, and nothing counts that was absent before.
bool may_absorb(const Graph& g, int producer, int reader, int input);

/// Of each input of a mixed operation the input z of its term, -1 for those of no term and of other ops. Where z is
/// absent its term is left out: none of its inputs are read.
std::vector<int> terms_of_inputs(const Node& n);

/// A node of the way back that is read under one condition only is carried out only then, and gates of what has
/// their condition anyway vanish. Does nothing for a graph without conditions, as the following.
void narrow_conditions(Graph& graph, std::vector<Value>& outputs);
/// A view (gate, slice, reshape) that is read when it is absent becomes a copy: zeros can stand in its place only
/// where that is its own.
void copy_views(Graph& graph, std::vector<Value>& outputs);
/// [node][output]: the value may be read, or asked for, when nobody has written it in the run.
std::vector<std::vector<bool>> read_when_absent(const Graph& graph, const std::vector<Value>& outputs);
/// Some input of a sum is there whenever the sum is.
bool surely_written(const Graph& graph, int sum);

}  // namespace mixop::autograd
