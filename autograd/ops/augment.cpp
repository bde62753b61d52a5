#include "autograd/ops/augment.h"

#include <limits>

namespace mixop::autograd {
namespace {
std::vector<TensorSpec> augment_shape(const Graph& g, const Node& n) {
  const TensorSpec &pixels = g.spec(n.inputs[0]), &draws = g.spec(n.inputs[1]), &table = g.spec(n.inputs[2]);
  const Shape& p = pixels.shape;
  MIXOP_CHECK(p.rank() == 4 && pixels.dtype == DType::kU8, "augment: pixels must be [n,H,W,C] of uint8, got ", p,
              " of ", name_of(pixels.dtype));
  MIXOP_CHECK(p[1] * p[2] * p[3] <= std::numeric_limits<int32_t>::max(), "augment: an image of ", p,
              " has 2^31 or more elements");
  MIXOP_CHECK(draws.shape.rank() == 2 && draws.shape[1] == kernels::kDrawColumns && draws.dtype == DType::kI32,
              "augment: draws must be [N,", int{kernels::kDrawColumns}, "] of int32, got ", draws.shape, " of ",
              name_of(draws.dtype));
  MIXOP_CHECK((table.shape == Shape{p[3], 256}) && table.dtype == g.real(), "augment: the table for pixels ", p,
              " must be [", p[3], ",256] of ", name_of(g.real()), ", got ", table.shape, " of ",
              name_of(table.dtype));
  return {{{draws.shape[0], p[1], p[2], p[3]}, g.real()}};
}
}  // namespace

const OpDef kAugment{.name = "augment",
                     .shape = augment_shape,
                     .grad = nullptr,
                     .cpu = kernels::augment_cpu,
                     .cuda = kernels::augment_cuda};

Value augment(Graph& g, Value pixels, Value draws, Value table) {
  return g.add(kAugment, {pixels, draws, table})[0];
}

}  // namespace mixop::autograd
