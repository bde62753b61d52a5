#include "nas/batch.h"

#include "autograd/ops/augment.h"

namespace mixop::nas {

autograd::Value images_of(autograd::Graph& g, const ImageSource& source, const kernels::Shape& shape) {
  if (!source.resident) return g.input("images", shape);
  autograd::TensorStore &pixels = source.resident->pixels, &tables = source.resident->tables;
  const int part = pixels.find(source.part);
  MIXOP_CHECK(part >= 0, "no resident images '", source.part, "'");
  const autograd::Value draws = g.input("draws", {shape[0], 8}, kernels::DType::kI32);
  const autograd::Value images = autograd::augment(g, g.tensor(pixels, source.part, pixels.entry(part).shape),
                                                   draws, g.tensor(tables, source.part, {shape.last(), 256}));
  MIXOP_CHECK(g.shape(images) == shape, "resident images '", source.part, "' give ", g.shape(images), ", wanted ",
              shape);
  return images;
}

}  // namespace mixop::nas
