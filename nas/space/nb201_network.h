// What the networks of NAS-Bench-201 have in common: the skeleton around the cells, and the operations in them.
#pragma once

#include <functional>

#include "nas/layers.h"
#include "nas/space/nb201.h"
#include "nas/supernet.h"

namespace mixop::nas {

/// Adds stem, three stages of scale.cells cells, a residual block of stride 2 between stages that doubles the
/// channels, and the head (Dong and Yang 2020). `cell` makes a cell of its input, within a scope of its own; it
/// keeps the shape. Throws mixop::Error for images that cannot be halved twice.
NetworkOutputs build_nb201(Layers& layers, Value images, const NetworkScale& scale,
                           const std::function<Value(Value x)>& cell);

/// Operation `op` of Nb201Space::kOps on x [N,H,W,C], which keeps its shape; an empty value for `none`.
Value nb201_operation(Layers& layers, int32_t op, Value x);

}  // namespace mixop::nas
