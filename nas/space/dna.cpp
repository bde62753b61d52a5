#include "nas/space/dna.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <set>

#include "kernels/core/check.h"
#include "nas/space/reader.h"

namespace mixop::nas {
namespace {

constexpr size_t kHead = 3, kPerVertex = 2, kPerEdge = 8;
constexpr std::array<std::string_view, 2> kVertexNames = {"linear", "relu"}, kEdgeNames = {"identity", "conv"};

std::string text_of(const Dna::Edge& e) {
  if (!e.convolution) return "identity";
  return kernels::text("conv:", 2 * e.half_height + 1, "x", 2 * e.half_width + 1, ":s", e.stride, ":f", e.filters);
}

/// Within their ranges; those of an identity are 0.
bool genes_fit(const Dna::Edge& e) {
  const auto within = [&](int32_t gene, int32_t least, int32_t most) {
    return e.convolution ? gene >= least && gene <= most : gene == 0;
  };
  return within(e.filters, -Dna::kMostSteps, Dna::kMostSteps) && within(e.half_height, 0, Dna::kMostHalf) &&
         within(e.half_width, 0, Dna::kMostHalf) && within(e.stride, 0, Dna::kMostStride);
}

}  // namespace

Dna Dna::from(const Arch& arch) {
  Dna dna{arch[0], arch[1], {}, {}};
  size_t at = kHead;
  for (int32_t i = 0; i < arch[2]; ++i, at += kPerVertex) dna.vertices.push_back({arch[at], arch[at + 1]});
  for (; at < arch.size(); at += kPerEdge)
    dna.edges.push_back({arch[at], arch[at + 1], arch[at + 2], arch[at + 3], arch[at + 4], arch[at + 5],
                         arch[at + 6], arch[at + 7]});
  return dna;
}

Arch Dna::numbers() const {
  Arch arch = {lr, next_id, static_cast<int32_t>(vertices.size())};
  for (const Vertex& v : vertices) arch.insert(arch.end(), {v.id, v.activated});
  for (const Edge& e : edges)
    arch.insert(arch.end(), {e.id, e.from, e.to, e.convolution, e.filters, e.half_height, e.half_width, e.stride});
  return arch;
}

size_t Dna::position(int32_t vertex) const {
  const auto at = std::find_if(vertices.begin(), vertices.end(), [&](const Vertex& v) { return v.id == vertex; });
  return static_cast<size_t>(at - vertices.begin());
}

size_t Dna::edges_into(int32_t vertex) const {
  return static_cast<size_t>(
      std::count_if(edges.begin(), edges.end(), [&](const Edge& e) { return e.to == vertex; }));
}

size_t Dna::edges_out_of(int32_t vertex) const {
  return static_cast<size_t>(
      std::count_if(edges.begin(), edges.end(), [&](const Edge& e) { return e.from == vertex; }));
}

double Dna::learning_rate() const { return 0.1 * std::exp2(static_cast<double>(lr) / kOctave); }

DnaSpace::DnaSpace(int mutations) : mutations_(mutations) {
  MIXOP_CHECK(mutations >= 0 && mutations <= 10000, "dna: mutations=", mutations, " is outside 0 to 10000");
}

std::string DnaSpace::describe() const { return "genomes of Large-Scale Evolution: any graph of convolutions"; }
double DnaSpace::count() const { return std::numeric_limits<double>::infinity(); }

Arch DnaSpace::parse(std::string_view text) const {
  Reader r(name(), text);
  Dna dna{.vertices = {}, .edges = {}};
  r.expect("lr:");
  dna.lr = r.number();
  r.expect(" next:");
  dna.next_id = r.number();
  while (r.take(" v")) {
    const int32_t id = r.number();
    r.expect(":");
    dna.vertices.push_back({id, r.one_of(kVertexNames)});
  }
  while (r.take(" e")) {
    Dna::Edge e{};
    e.id = r.number();
    r.expect(":");
    e.from = r.number();
    r.expect("-");
    e.to = r.number();
    r.expect(":");
    e.convolution = r.one_of(kEdgeNames);
    if (e.convolution) {
      r.expect(":");
      for (int32_t* half : {&e.half_height, &e.half_width}) {
        const size_t begin = r.at();
        const int size = r.number();
        if (size < 1 || size % 2 == 0) r.fail_at(begin, "an odd kernel size");
        *half = size / 2;
        if (half == &e.half_height) r.expect("x");
      }
      r.expect(":s");
      e.stride = r.number();
      r.expect(":f");
      e.filters = r.number();
    }
    dna.edges.push_back(e);
  }
  if (!r.done()) r.fail_at(r.at(), "' v' or ' e'");
  const Arch arch = dna.numbers();
  validate(arch);
  return arch;
}

std::string DnaSpace::format(const Arch& arch) const {
  const Dna dna = Dna::from(arch);
  std::string text = kernels::text("lr:", dna.lr, " next:", dna.next_id);
  for (const Dna::Vertex& v : dna.vertices)
    text += kernels::text(" v", v.id, ":", kVertexNames[static_cast<size_t>(v.activated)]);
  for (const Dna::Edge& e : dna.edges) text += kernels::text(" e", e.id, ":", e.from, "-", e.to, ":", text_of(e));
  return text;
}

std::string DnaSpace::draw_dot(const Arch& arch) const {
  const Dna dna = Dna::from(arch);
  std::string dot = "digraph dna {\n  rankdir=LR\n  node [shape=box]\n";
  for (size_t i = 0; i < dna.vertices.size(); ++i) {
    const Dna::Vertex& v = dna.vertices[i];
    const std::string_view end = i == 0 ? "image" : i + 1 == dna.vertices.size() ? "classifier: " : "";
    dot += kernels::text("  ", v.id, " [label=\"", end,
                         i == 0 ? "" : kVertexNames[static_cast<size_t>(v.activated)], "\"]\n");
  }
  for (const Dna::Edge& e : dna.edges)
    dot += kernels::text("  ", e.from, " -> ", e.to, " [label=\"", text_of(e), "\"]\n");
  return dot + "}\n";
}

std::optional<std::string> DnaSpace::find_fault(const Arch& arch) const {
  if (arch.size() < kHead || arch[2] < 2) return "has fewer than two vertices";
  const size_t edges_at = kHead + kPerVertex * static_cast<size_t>(arch[2]);
  if (arch.size() < edges_at || (arch.size() - edges_at) % kPerEdge != 0)
    return kernels::text("has ", arch.size(), " numbers, which is no whole number of edges behind ", arch[2],
                         " vertices");
  const Dna dna = Dna::from(arch);
  if (std::abs(dna.lr) > Dna::kMostSteps) return kernels::text("learning-rate gene ", dna.lr, " is out of range");
  std::set<int32_t> ids;
  const auto bad_id = [&](int32_t id) { return id < 0 || id >= dna.next_id || !ids.insert(id).second; };
  for (const Dna::Vertex& v : dna.vertices) {
    if (bad_id(v.id))
      return kernels::text("vertex id ", v.id, " is taken or not below the next one, ", dna.next_id);
    if (v.activated < 0 || v.activated > 1) return kernels::text("vertex ", v.id, " is neither linear nor relu");
  }
  if (dna.vertices.front().activated) return "the images must be a linear vertex";
  for (const Dna::Edge& e : dna.edges) {
    if (bad_id(e.id)) return kernels::text("edge id ", e.id, " is taken or not below the next one, ", dna.next_id);
    const size_t from = dna.position(e.from), to = dna.position(e.to);
    if (from >= to || to >= dna.vertices.size())
      return kernels::text("edge ", e.id, " does not lead from a vertex to a later one");
    if (e.convolution < 0 || e.convolution > 1)
      return kernels::text("edge ", e.id, " is neither identity nor conv");
    if (!genes_fit(e)) return kernels::text("edge ", e.id, " has a gene out of range");
  }
  for (size_t i = 0; i < dna.vertices.size(); ++i) {
    const int32_t id = dna.vertices[i].id;
    if (i > 0 && dna.edges_into(id) == 0) return kernels::text("nothing leads to vertex ", id);
    if (i + 1 < dna.vertices.size() && dna.edges_out_of(id) == 0)
      return kernels::text("vertex ", id, " leads nowhere");
  }
  return {};
}

Arch DnaSpace::sample(Random& random) const {
  Arch arch = Dna{}.numbers();
  for (int64_t n = random.below(mutations_ + 1); n > 0; --n) arch = mutate(arch, random).arch;
  return arch;
}

Child DnaSpace::mutate(const Arch& arch, Random& random) const {
  const auto names = dna_mutations();
  Dna dna = Dna::from(arch);
  for (;;) {
    const auto mutation = static_cast<size_t>(random.below(static_cast<int64_t>(names.size())));
    if (!mutate_dna(dna, mutation, random)) continue;
    return {dna.numbers(), names[mutation] != "RESET-WEIGHTS", names[mutation]};
  }
}

Arch DnaSpace::redraw(const Arch& arch, double rate, Random& random) const {
  return random.chance(rate) ? mutate(arch, random).arch : arch;
}

Arch DnaSpace::crossover(const Arch& a, const Arch& b, Random& random) const { return random.chance(0.5) ? a : b; }

TrainingChoices DnaSpace::training(const Arch& arch) const { return {.lr = Dna::from(arch).learning_rate()}; }

}  // namespace mixop::nas
