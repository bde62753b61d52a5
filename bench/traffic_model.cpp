#include "bench/traffic_model.h"

#include <algorithm>

namespace mixop::bench {

namespace {

/// Of one cell in units of T, the bytes of one of its nodes. `ratio`: bytes of a cell input over T.
constexpr Traffic cell_units(int nodes, double ratio) {
  const double n = nodes, edges = n * (n + 3) / 2;
  const double sources = 2 * ratio + n - 1;               // every state that is read, once
  const double per_edge = 2 * n * ratio + edges - 2 * n;  // the state behind every edge
  const double first = sources + 4 * edges;               // A: writes z of four convolutions an edge
  const double second = 2 * edges + 2 * edges;            // B: the second halves of the two separable ones
  const double combine = 4 * edges + per_edge + n;        // reads all z and x, writes the nodes
  const double reduce = 4 * edges + per_edge + n;         // R: reads all z, x and the gradient of the node
  const double second_grad = 7 * edges;                   // B2: z2, dS, z1 read, g1 written; twice; shares dS
  const double first_grad = 7 * edges + 2 * sources;      // B1: g1, z1 twice, dS and z of two; x; dx
  return {first + second + combine, reduce + second_grad + first_grad};
}
static_assert(cell_units(4, 1).forward == 191 && cell_units(4, 1).backward == 280);

}  // namespace

Traffic model_traffic(const nas::SupernetOptions& net, int64_t batch) {
  Traffic sum;
  int64_t height = net.height, width = net.width, channels = net.channels;
  const std::vector<int> reductions = net.reductions();
  for (int cell = 0; cell < net.cells; ++cell) {
    const bool reduction = std::find(reductions.begin(), reductions.end(), cell) != reductions.end();
    // Half the height and width, twice the channels: an input of the cell has four times the pixels of a node.
    if (reduction) height /= 2, width /= 2, channels *= 2;
    const Traffic units = cell_units(net.nodes, reduction ? 4 : 1);
    const double bytes = static_cast<double>(batch * height * width * channels) * sizeof(float);
    sum.forward += units.forward * bytes;
    sum.backward += units.backward * bytes;
  }
  return sum;
}

}  // namespace mixop::bench
