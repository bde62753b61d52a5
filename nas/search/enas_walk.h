// The recipes of the ENAS controllers, told once and carried out in two ways: with numbers, to sample
// (nas/search/enas_numbers.h), and as a graph, to learn (nas/search/enas_graph.h). A Math has a Row of values and
//   start()                 what the LSTM is fed at first and where nothing was chosen
//   zeros()                 a row of units
//   advance(input)          one step of the LSTM, returns the hidden state of its last layer
//   key(hidden)             what attention compares with
//   scores(keys, hidden)    attention over earlier nodes, one logit for each
//   operations(hidden)      one logit for each operation
//   bounded(logits, c)      c tanh(logits / temperature)
//   favour(logits)          adds the fixed preference for convolutions
//   choose(at, logits)      a choice of one, which becomes number `at` of the architecture
//   skips(at, logits)       of each logit l a choice of its own: 1 with logit l, 0 with logit -l
//   embedding(choice)       of the chosen operation
//   pick(rows, choice)      the chosen row
//   mean(rows, skips)       sum of the chosen rows / (1 + number of chosen)
#pragma once

#include "nas/search/enas_controller.h"

namespace mixop::nas {

template <class Math>
void walk_micro(Math& m, const EnasControllerOptions& o) {
  using Row = typename Math::Row;
  size_t at = 0;
  for (const bool normal : {true, false}) {  // the second cell goes on from the LSTM's state after the first
    std::vector<Row> anchors(2, m.zeros()), keys;
    for (size_t i = 0; i < 2; ++i) keys.push_back(m.key(m.advance(m.start())));
    for (int node = 0; node < o.nodes; ++node, at += 4) {
      Row input = m.start();
      for (const size_t slot : {0, 2}) {
        const Row logits = m.bounded(m.scores(keys, m.advance(input)), o.tanh_constant);
        input = m.pick(anchors, m.choose(at + slot, logits));
      }
      for (const size_t slot : {1, 3}) {
        const Row logits = m.bounded(m.operations(m.advance(input)), o.tanh_constant / o.op_tanh_reduce);
        input = m.embedding(m.choose(at + slot, normal ? m.favour(logits) : logits));
      }
      anchors.push_back(m.advance(input));
      keys.push_back(m.key(anchors.back()));
    }
  }
}

template <class Math>
void walk_macro(Math& m, const EnasControllerOptions& o) {
  using Row = typename Math::Row;
  size_t at = 0;
  std::vector<Row> anchors, keys;
  Row input = m.start();
  for (int layer = 0; layer < o.layers; ++layer) {
    input = m.embedding(m.choose(at++, m.bounded(m.operations(m.advance(input)), o.tanh_constant)));
    const Row hidden = m.advance(input);
    input = m.start();
    if (layer > 0) {
      input = m.mean(anchors, m.skips(at, m.bounded(m.scores(keys, hidden), o.tanh_constant)));
      at += anchors.size();
    }
    anchors.push_back(hidden);
    keys.push_back(m.key(hidden));
  }
}

template <class Math>
void walk_edges(Math& m, const EnasControllerOptions& o) {
  typename Math::Row input = m.start();
  for (size_t edge = 0; edge < static_cast<size_t>(o.edges); ++edge)
    input = m.embedding(m.choose(edge, m.bounded(m.operations(m.advance(input)), o.tanh_constant)));
}

template <class Math>
void walk(Math& m, const EnasControllerOptions& o) {
  switch (o.space) {
    case EnasSpace::kMicro:
      return walk_micro(m, o);
    case EnasSpace::kMacro:
      return walk_macro(m, o);
    case EnasSpace::kEdges:
      return walk_edges(m, o);
  }
}

/// What the micro space adds to the logits of its normal cell, in favour of convolutions.
inline double favour(int operation) { return operation < 2 ? 0.25 : -0.25; }

}  // namespace mixop::nas
