#include "nas/space/chain.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/space/reader.h"

namespace mixop::nas {
namespace {

/// How many values a layer's decisions before its anchors have.
constexpr std::array<size_t, 5> kOwnValues = {ChainSpace::kKernels.size(), ChainSpace::kStrides.size(),
                                              ChainSpace::kPoolings.size(), ChainSpace::kFilterCounts.size(),
                                              ChainSpace::kActivations.size()};
constexpr size_t kOwn = kOwnValues.size();

std::vector<int32_t> first_values(size_t n) {
  std::vector<int32_t> values(n);
  std::iota(values.begin(), values.end(), 0);
  return values;
}

template <size_t N>
int32_t number_of(Reader& r, const std::array<int, N>& table) {
  const size_t begin = r.at();
  const auto found = std::find(table.begin(), table.end(), r.number());
  if (found != table.end()) return static_cast<int32_t>(found - table.begin());
  std::string known;
  for (const int v : table) known += (known.empty() ? "" : ", ") + std::to_string(v);
  r.fail_at(begin, "one of ", known);
}

std::string text_of(const ChainSpace::Layer& l) {
  return kernels::text(l.kernel, "x", l.kernel, "/", l.stride, ",",
                       ChainSpace::kPoolings[static_cast<size_t>(l.pooling)], ",", l.filters, ",",
                       ChainSpace::kActivations[static_cast<size_t>(l.activation)]);
}

/// Which of the layers before `layer` feed it.
std::vector<int32_t> parse_anchors(Reader& r, int layer) {
  std::vector<int32_t> anchors(static_cast<size_t>(layer));
  if (!r.take("<")) {
    if (layer > 0) anchors.back() = 1;
    return anchors;
  }
  if (r.done() || r.rest()[0] == ' ') return anchors;
  do {
    const size_t begin = r.at();
    const int source = r.number();
    if (source < 0 || source >= layer) r.fail_at(begin, "a layer before layer ", layer);
    anchors[static_cast<size_t>(source)] = 1;
  } while (r.take("+"));
  return anchors;
}

}  // namespace

ChainSpace::ChainSpace(int layers, int halvings, bool skips) : layers_(layers), halvings_(halvings), skips_(skips) {
  MIXOP_CHECK(layers >= 1 && layers <= 64, "chain: layers=", layers, " is outside 1 to 64");
  MIXOP_CHECK(halvings >= 0 && halvings <= 16, "chain: halvings=", halvings, " is outside 0 to 16");
}

std::string ChainSpace::describe() const {
  return kernels::text("chains of 1 to ", layers_, " convolutions, the map halved at most ", halvings_, " times",
                       skips_ ? ", with skip anchors" : "");
}

size_t ChainSpace::first(size_t layer) const { return 1 + kOwn * layer + (skips_ ? layer * (layer - 1) / 2 : 0); }

bool ChainSpace::next(const Arch& prefix, Decision& d) const {
  d.source = -1;
  d.layer = 0;
  if (prefix.empty()) {
    d.kind = kLayers;
    d.legal = first_values(static_cast<size_t>(layers_));
    return true;
  }
  size_t layer = 0;
  while (first(layer + 1) <= prefix.size()) ++layer;
  if (layer > static_cast<size_t>(prefix[0])) return false;
  d.layer = static_cast<int>(layer);
  const size_t at = prefix.size() - first(layer);
  if (at >= kOwn) {
    d.kind = kAnchor;
    d.source = static_cast<int>(at - kOwn);
    d.legal = {0, 1};
    return true;
  }
  d.kind = kKernel + static_cast<int>(at);
  int halvings = 0;
  for (size_t i = 0; i <= layer; ++i)
    for (const Kind kind : {kStride, kPooling})
      if (const size_t place = first(i) + kind - kKernel; place < prefix.size()) halvings += prefix[place] > 0;
  const bool halves = d.kind == kStride || d.kind == kPooling;
  d.legal = first_values(halves && halvings == halvings_ ? 1 : kOwnValues[at]);
  return true;
}

std::vector<int> ChainSpace::kinds() const {
  std::vector<int> sizes = {layers_};
  for (const size_t values : kOwnValues) sizes.push_back(static_cast<int>(values));
  if (skips_) sizes.push_back(2);
  return sizes;
}

std::vector<ChainSpace::Layer> ChainSpace::layers(const Arch& arch) const {
  std::vector<Layer> all;
  for (size_t i = 0; i <= static_cast<size_t>(arch[0]); ++i) {
    const int32_t* own = &arch[first(i)];
    Layer layer{kKernels[static_cast<size_t>(own[0])], kStrides[static_cast<size_t>(own[1])], own[2],
                kFilterCounts[static_cast<size_t>(own[3])], own[4]};
    for (size_t j = 0; j < i; ++j) layer.inputs.push_back(skips_ ? own[kOwn + j] == 1 : j + 1 == i);
    all.push_back(std::move(layer));
  }
  return all;
}

Arch ChainSpace::parse(std::string_view text) const {
  Arch arch = {0};
  Reader r(name(), text);
  for (int layer = 0;; ++layer) {
    if (layer == layers_) r.fail_at(r.at(), "no more than ", layers_, " layers, but there is another");
    arch[0] = layer;
    const int32_t kernel = number_of(r, kKernels);
    r.expect(kernels::text("x", kKernels[static_cast<size_t>(kernel)], "/"));
    const int32_t stride = number_of(r, kStrides);
    r.expect(",");
    const int32_t pooling = r.one_of(kPoolings);
    r.expect(",");
    const int32_t filters = number_of(r, kFilterCounts);
    r.expect(",");
    arch.insert(arch.end(), {kernel, stride, pooling, filters, r.one_of(kActivations)});
    if (skips_) {
      const std::vector<int32_t> anchors = parse_anchors(r, layer);
      arch.insert(arch.end(), anchors.begin(), anchors.end());
    }
    if (r.done()) break;
    r.expect(" ");
  }
  validate(arch);
  return arch;
}

std::string ChainSpace::format(const Arch& arch) const {
  std::string text;
  const std::vector<Layer> all = layers(arch);
  for (size_t i = 0; i < all.size(); ++i) {
    const Layer& l = all[i];
    text += kernels::text(i ? " " : "", text_of(l));
    const auto fed = std::count(l.inputs.begin(), l.inputs.end(), true);
    if (i == 0 || (fed == 1 && l.inputs.back())) continue;
    text += "<";
    for (size_t j = 0, n = 0; j < i; ++j)
      if (l.inputs[j]) text += kernels::text(n++ ? "+" : "", j);
  }
  return text;
}

std::string ChainSpace::draw_dot(const Arch& arch) const {
  std::string dot = "digraph chain {\n  rankdir=LR\n  node [shape=box]\n";
  const std::vector<Layer> all = layers(arch);
  std::vector<bool> used(all.size());
  for (size_t i = 0; i < all.size(); ++i) {
    dot += kernels::text("  ", i, " [label=\"", text_of(all[i]), "\"]\n");
    bool fed = false;
    for (size_t j = 0; j < i; ++j) {
      if (!all[i].inputs[j]) continue;
      dot += kernels::text("  ", j, " -> ", i, "\n");
      fed = used[j] = true;
    }
    if (!fed) dot += kernels::text("  image -> ", i, "\n");
  }
  for (size_t i = 0; i < all.size(); ++i)
    if (!used[i]) dot += kernels::text("  ", i, " -> classifier\n");
  return dot + "}\n";
}

double ChainSpace::count() const {
  // ways[h]: the first layers with h halvings. A layer has one way without (stride 1, no pooling), three with one,
  // two with two, each times kernels, filters and activations.
  std::vector<double> ways(static_cast<size_t>(halvings_) + 1);
  ways[0] = 1;
  double total = 0;
  for (int layer = 0; layer < layers_; ++layer) {
    const double others = static_cast<double>(kKernels.size() * kFilterCounts.size() * kActivations.size()) *
                          (skips_ ? std::exp2(layer) : 1);
    for (size_t h = ways.size(); h-- > 0;)
      ways[h] = others * (ways[h] + (h >= 1 ? 3 * ways[h - 1] : 0) + (h >= 2 ? 2 * ways[h - 2] : 0));
    total += std::accumulate(ways.begin(), ways.end(), 0.0);
  }
  return total;
}

size_t ChainSpace::features(Encoding encoding) const {
  if (encoding != Encoding::kOneHot) return 0;
  const std::vector<int> sizes = kinds();
  size_t n = 0;
  walk([&](const Decision& d, size_t at) {  // of the longest; shorter ones are its beginning, then zeros
    n += static_cast<size_t>(sizes[static_cast<size_t>(d.kind)]);
    return at == 0 ? d.legal.back() : d.legal.front();
  });
  return n;
}

}  // namespace mixop::nas
