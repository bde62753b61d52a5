// What the micro and the macro networks of ENAS (Pham et al. 2018) have in common.
#pragma once

#include <vector>

#include "nas/supernet.h"

namespace mixop::nas {

/// The sum of values of one shape, in their order; those that are not carried out (Graph::When) are left out.
Value add_up(Graph& g, const std::vector<Value>& terms);

/// A state of a micro cell: x as it is when it has `channels` channels and the resolution of `like`; else through
/// relu, conv 1x1, bn ("<name>.w") or, of twice that resolution, through relu and a factorized reduction.
Value enas_calibrate(Layers& layers, Value x, const char* name, const kernels::Shape& like, int64_t channels);

/// The last layer of a network.
struct EnasHead {
  int64_t classes = 10;
  double keep = 1;      ///< of dropout
  uint64_t seed = 0;    ///< of its mask, whose counter is state "counter"
  uint64_t stream = 0;  ///< of its mask
};
/// x [N,C] -> [N,classes], no bias. Drops elements only when `dropout`.
Value enas_classifier(Layers& layers, Value x, TensorStore& state, const EnasHead& head, bool dropout);

/// relu, average pool 5x5 to 2x2, conv 1x1 to 128, bn, relu, conv 2x2 to 768, bn, relu, linear without bias. (The
/// released code pads the 2x2 convolution and averages its four outputs.) Throws when the map x is below 6x6.
Value enas_auxiliary_head(Layers& layers, Value x, int64_t classes);

}  // namespace mixop::nas
