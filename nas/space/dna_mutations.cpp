// The eleven mutations of Large-Scale Evolution (Real et al. 2017, section 3.2). Ranges of new values: half to
// twice the old one, uniform on a logarithmic scale.
#include <algorithm>
#include <array>
#include <cmath>

#include "nas/space/dna.h"

namespace mixop::nas {
namespace {

using Edge = Dna::Edge;
using Edges = std::vector<size_t>;  // indices

template <class Wanted>
Edges edges_where(const Dna& dna, const Wanted& wanted) {
  Edges all;
  for (size_t i = 0; i < dna.edges.size(); ++i)
    if (wanted(dna.edges[i])) all.push_back(i);
  return all;
}
Edges convolutions(const Dna& dna) {
  return edges_where(dna, [](const Edge& e) { return e.convolution == 1; });
}
/// A random convolution, or null.
Edge* draw_convolution(Dna& dna, Random& random) {
  const Edges all = convolutions(dna);
  return all.empty() ? nullptr : &dna.edges[random.one_of(all)];
}
bool is_primary(const Dna& dna, const Edge& edge) {
  const auto first =
      std::find_if(dna.edges.begin(), dna.edges.end(), [&](const Edge& e) { return e.to == edge.to; });
  return first->id == edge.id;
}
/// Up to an octave down or up.
int32_t near(int32_t steps, Random& random) {
  const auto moved = steps - Dna::kOctave + static_cast<int32_t>(random.below(2 * Dna::kOctave + 1));
  return std::clamp(moved, -Dna::kMostSteps, Dna::kMostSteps);
}

/// Puts a vertex with the edge `before` in the middle of a random edge.
void split(Dna& dna, Edge before, int32_t activated, Random& random) {
  Edge& after = dna.edges[static_cast<size_t>(random.below(static_cast<int64_t>(dna.edges.size())))];
  const int32_t vertex = dna.next_id++;
  before.id = dna.next_id++;
  before.from = after.from;
  before.to = vertex;
  after.from = vertex;
  dna.vertices.insert(dna.vertices.begin() + static_cast<std::ptrdiff_t>(dna.position(after.to)),
                      {vertex, activated});
  dna.edges.push_back(before);
}

bool alter_learning_rate(Dna& dna, Random& random) {
  dna.lr = near(dna.lr, random);
  return true;
}

bool nothing(Dna&, Random&) { return true; }

bool insert_convolution(Dna& dna, Random& random) {
  Edge convolution{.id = 0, .from = 0, .to = 0, .convolution = 1, .half_height = 1, .half_width = 1};
  convolution.stride = static_cast<int32_t>(random.below(2));
  split(dna, convolution, static_cast<int32_t>(random.below(2)), random);
  return true;
}

/// With the vertex behind it, where that is all that the convolution makes; else an identity takes its place.
bool remove_convolution(Dna& dna, Random& random) {
  Edge* edge = draw_convolution(dna, random);
  if (!edge) return false;
  const Edge gone = *edge;
  if (gone.to == dna.vertices.back().id || dna.edges_into(gone.to) > 1) {
    *edge = {gone.id, gone.from, gone.to};
    return true;
  }
  for (Edge& e : dna.edges)
    if (e.from == gone.to) e.from = gone.from;
  std::erase_if(dna.edges, [&](const Edge& e) { return e.id == gone.id; });
  std::erase_if(dna.vertices, [&](const Dna::Vertex& v) { return v.id == gone.to; });
  return true;
}

bool alter_stride(Dna& dna, Random& random) {
  Edge* edge = draw_convolution(dna, random);
  if (!edge) return false;
  edge->stride = std::clamp(edge->stride - 1 + static_cast<int32_t>(random.below(3)), 0, Dna::kMostStride);
  return true;
}

bool alter_number_of_channels(Dna& dna, Random& random) {
  Edge* edge = draw_convolution(dna, random);
  if (!edge) return false;
  edge->filters = near(edge->filters, random);
  return true;
}

bool filter_size(Dna& dna, Random& random) {
  Edge* edge = draw_convolution(dna, random);
  if (!edge) return false;
  int32_t& half = random.chance(0.5) ? edge->half_width : edge->half_height;
  const double size = (2 * half + 1) * std::exp2(random.uniform(-1, 1));
  half = std::min(static_cast<int32_t>(size / 2), Dna::kMostHalf);  // 2 * half + 1 is the nearest odd number
  return true;
}

bool insert_one_to_one(Dna& dna, Random& random) {
  split(dna, {.id = 0, .from = 0, .to = 0}, 0, random);
  return true;
}

/// An identity between two vertices that no edge joins yet.
bool add_skip(Dna& dna, Random& random) {
  std::vector<Edge> free;
  for (size_t to = 1; to < dna.vertices.size(); ++to)
    for (size_t from = 0; from < to; ++from) {
      const Edge skip{dna.next_id, dna.vertices[from].id, dna.vertices[to].id};
      const auto same = [&](const Edge& e) { return e.from == skip.from && e.to == skip.to; };
      if (std::none_of(dna.edges.begin(), dna.edges.end(), same)) free.push_back(skip);
    }
  if (free.empty()) return false;
  dna.edges.push_back(random.one_of(free));
  ++dna.next_id;
  return true;
}

/// Not a primary edge, nor the only one out of a vertex: every vertex stays on a way from images to classifier.
bool remove_skip(Dna& dna, Random& random) {
  const Edges skips =
      edges_where(dna, [&](const Edge& e) { return !is_primary(dna, e) && dna.edges_out_of(e.from) > 1; });
  if (skips.empty()) return false;
  dna.edges.erase(dna.edges.begin() + static_cast<std::ptrdiff_t>(random.one_of(skips)));
  return true;
}

constexpr std::array<std::string_view, 11> kNames = {"ALTER-LEARNING-RATE",
                                                     "IDENTITY",
                                                     "RESET-WEIGHTS",
                                                     "INSERT-CONVOLUTION",
                                                     "REMOVE-CONVOLUTION",
                                                     "ALTER-STRIDE",
                                                     "ALTER-NUMBER-OF-CHANNELS",
                                                     "FILTER-SIZE",
                                                     "INSERT-ONE-TO-ONE",
                                                     "ADD-SKIP",
                                                     "REMOVE-SKIP"};
constexpr std::array<bool (*)(Dna&, Random&), 11> kMutations = {
    alter_learning_rate,      nothing,     nothing,           insert_convolution, remove_convolution, alter_stride,
    alter_number_of_channels, filter_size, insert_one_to_one, add_skip,           remove_skip};

}  // namespace

std::span<const std::string_view> dna_mutations() { return kNames; }
bool mutate_dna(Dna& dna, size_t mutation, Random& random) { return kMutations[mutation](dna, random); }

}  // namespace mixop::nas
