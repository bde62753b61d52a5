#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/pool.h"
#include "autograd/ops/unary.h"
#include "nas/space/dna.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

constexpr int64_t kMostChannels = 1 << 16;

/// A map that samples the images every 2^octave pixels: ceil(size / 2^octave) in each direction.
struct Map {
  Value value;
  int octave = 0;
};

/// 2^octaves, but not above a size: beyond it there is one pixel left anyway.
int64_t factor(int octaves, int64_t size) { return octaves < 30 ? std::min(int64_t{1} << octaves, size) : size; }

/// Every 2^octaves-th pixel.
Value shrink(Graph& g, Value x, int octaves) {
  const auto step = [&](int axis) { return static_cast<int>(factor(octaves, g.shape(x)[axis])); };
  const kernels::PoolAttrs pick{.kernel = {1, 1}, .stride = {step(1), step(2)}, .pad = {0, 0}};
  return autograd::max_pool(g, x, pick);
}

/// Every pixel 2^octaves times in each direction, cut to height x width.
Value grow(Graph& g, Value x, int octaves, int64_t height, int64_t width) {
  const kernels::Shape s = g.shape(x);
  const int64_t down = factor(octaves, height), across = factor(octaves, width);
  const Value pixels = autograd::reshape(g, x, {s[0] * s[1], 1, s[2], 1, s[3]});
  const Value blocks = autograd::add(g, pixels, autograd::zeros(g, {s[0] * s[1], down, s[2], across, s[3]}));
  x = autograd::reshape(g, blocks, {s[0], s[1] * down, s[2] * across, s[3]});
  if (s[1] * down != height) x = autograd::slice_axis(g, x, 1, 0, height);
  if (s[2] * across != width) x = autograd::slice_axis(g, x, 2, 0, width);
  return x;
}

/// The map in the shape of another: the nearest pixel, channels cut off or filled up with zeros.
Value fit(Graph& g, const Map& map, const Map& to) {
  const kernels::Shape want = g.shape(to.value);
  Value x = map.value;
  if (g.shape(x)[3] > want[3]) x = autograd::slice(g, x, 0, want[3]);
  if (map.octave < to.octave) x = shrink(g, x, to.octave - map.octave);
  if (map.octave > to.octave) x = grow(g, x, map.octave - to.octave, want[1], want[2]);
  if (const int64_t channels = g.shape(x)[3]; channels < want[3])
    x = autograd::concat(g, {x, autograd::zeros(g, {want[0], want[1], want[2], want[3] - channels})}, 3);
  return x;
}

Map follow(Layers& layers, const Dna::Edge& e, const Map& from) {
  if (!e.convolution) return from;
  const double ratio = std::exp2(static_cast<double>(e.filters) / Dna::kOctave);
  const double wanted = std::max(1.0, std::round(static_cast<double>(layers.g.shape(from.value)[3]) * ratio));
  MIXOP_CHECK(wanted <= kMostChannels, "dna: edge ", e.id, " would have ", wanted, " channels, more than ",
              kMostChannels);
  kernels::Conv2dAttrs attrs;
  attrs.kernel = {2 * e.half_height + 1, 2 * e.half_width + 1};
  attrs.pad_begin = attrs.pad_end = {e.half_height, e.half_width};
  attrs.stride = {1 << e.stride, 1 << e.stride};
  return {layers.conv(from.value, kernels::text("edge.", e.id, ".w"), static_cast<int64_t>(wanted), attrs),
          from.octave + e.stride};
}

}  // namespace

NetworkOutputs DnaSpace::build(Graph& g, Value images, Stores& stores, const Arch& arch, const NetworkScale& scale,
                               bool training) const {
  const Dna dna = Dna::from(arch);
  Layers layers{g, stores.weights, &stores.state, training, true};
  NetworkOutputs out;
  out.stem = images;
  std::vector<Map> maps{{images}};  // of the vertices
  for (size_t i = 1; i < dna.vertices.size(); ++i) {
    const Dna::Vertex& vertex = dna.vertices[i];
    Map map;
    std::vector<Value> arriving;
    for (const Dna::Edge& e : dna.edges) {
      if (e.to != vertex.id) continue;
      const Map m = follow(layers, e, maps[dna.position(e.from)]);
      if (arriving.empty()) map = m;
      arriving.push_back(fit(g, m, map));
    }
    map.value = autograd::sum(g, arriving);
    if (vertex.activated)
      map.value = autograd::relu(g, layers.batch_norm(map.value, kernels::text("vertex.", vertex.id, ".bn")));
    maps.push_back(map);
    out.cells.push_back(map.value);
  }
  out.pooled = autograd::global_avg_pool(g, maps.back().value);
  out.logits = layers.linear(out.pooled, "classifier", scale.classes);
  return out;
}

}  // namespace mixop::nas
