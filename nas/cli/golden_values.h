// Tensors as vectors of doubles, between the axis order of the files and that of the graph.
#pragma once

#include <vector>

#include "kernels/core/tensor.h"

namespace mixop::cli {

using Values = std::vector<double>;
using Extents = std::vector<int64_t>;

/// What a file's axes mean: nothing in particular, [N, C, ...] (a graph has channels last), or [out, in/groups, kh,
/// kw] (a graph has [kh, kw, in/groups, out]).
enum class Layout : uint8_t { kPlain, kImage, kKernel };

/// The shape that a tensor of a file has in a graph. Throws for a kernel that has not four axes, or more axes than
/// a graph can have.
kernels::Shape graph_shape(const Extents& file, Layout layout);

/// Values of a file in the graph's order, and back. `file` is the shape in the file.
Values to_graph(const Values& values, const Extents& file, Layout layout);
Values to_file(const Values& values, const Extents& file, Layout layout);

/// Copies between views of any float type (to_view also: int32) and vectors, in row-major order of the shape.
void to_view(const Values& values, const kernels::View& view);
Values from_view(const kernels::View& view);

}  // namespace mixop::cli
