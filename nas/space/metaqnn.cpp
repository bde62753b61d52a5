#include "nas/space/metaqnn.h"

#include <map>
#include <tuple>

#include "kernels/core/check.h"
#include "nas/space/reader.h"

namespace mixop::nas {
namespace {

using Type = MetaQnnSpace::Type;
constexpr int kMostFull = 2;  // fully connected layers in a row

/// Representation sizes as the table of values sees them.
int bucket(int size) { return size > 7 ? 8 : size > 3 ? 4 : 1; }

std::array<MetaQnnSpace::Layer, MetaQnnSpace::kChoices> all_layers() {
  std::array<MetaQnnSpace::Layer, MetaQnnSpace::kChoices> all;
  size_t n = 0;
  for (const int filters : {64, 128, 256, 512})
    for (const int kernel : {1, 3, 5}) all[n++] = {Type::kConv, filters, kernel, 1, 0};
  for (const auto& [kernel, stride] : {std::pair(5, 3), {3, 2}, {2, 2}})
    all[n++] = {Type::kPool, 0, kernel, stride, 0};
  for (const int width : {512, 256, 128}) all[n++] = {Type::kFull, 0, 0, 0, width};
  all[n++] = {Type::kGlobalPool, 0, 0, 0, 0};
  all[n++] = {Type::kEnd, 0, 0, 0, 0};
  return all;
}

std::string text_of(const MetaQnnSpace::Layer& l) {
  switch (l.type) {
    case Type::kConv:
      return kernels::text("C(", l.filters, ",", l.kernel, ",", l.stride, ")");
    case Type::kPool:
      return kernels::text("P(", l.kernel, ",", l.stride, ")");
    case Type::kFull:
      return kernels::text("FC(", l.width, ")");
    case Type::kGlobalPool:
      return "GAP";
    case Type::kStart:
    case Type::kEnd:
      break;
  }
  return "SM";
}

}  // namespace

const std::array<MetaQnnSpace::Layer, MetaQnnSpace::kChoices> MetaQnnSpace::kLayers = all_layers();

MetaQnnSpace::MetaQnnSpace(int layers, int size) : layers_(layers), size_(size) {
  MIXOP_CHECK(layers >= 1 && layers <= 100, "metaqnn: layers=", layers, " is outside 1 to 100");
  MIXOP_CHECK(size >= 1 && size <= 4096, "metaqnn: size=", size, " is outside 1 to 4096");
}

std::string MetaQnnSpace::describe() const {
  return kernels::text("MetaQNN: paths of at most ", layers_, " layers for images of ", size_, "x", size_);
}

MetaQnnSpace::Position MetaQnnSpace::after(const Position& p, int choice) const {
  const Layer& l = kLayers[static_cast<size_t>(choice)];
  Position q{l.type, p.depth + 1, p.size, choice, 0};
  if (l.type == Type::kPool) q.size = (p.size - l.kernel) / l.stride + 1;
  if (l.type == Type::kFull) {
    q.size = 0;
    q.full = p.type == Type::kFull ? p.full + 1 : 0;
  }
  return q;
}

MetaQnnSpace::Position MetaQnnSpace::position(const Arch& prefix) const {
  Position p{.size = size_};
  for (const int32_t choice : prefix) p = after(p, choice);
  return p;
}

bool MetaQnnSpace::allowed(const Position& p, int choice) const {
  const Layer& l = kLayers[static_cast<size_t>(choice)];
  if (l.type == Type::kEnd) return true;
  if (p.depth == layers_ || p.type == Type::kGlobalPool) return false;
  if (p.type == Type::kFull)
    return l.type == Type::kFull && p.full + 1 < kMostFull &&
           l.width <= kLayers[static_cast<size_t>(p.choice)].width;
  switch (l.type) {
    case Type::kConv:
      return l.kernel <= p.size;
    case Type::kPool:
      return p.type == Type::kConv && l.kernel <= p.size;
    case Type::kFull:
      return bucket(p.size) <= 4;
    default:
      return true;
  }
}

bool MetaQnnSpace::next(const Arch& prefix, Decision& d) const {
  const Position p = position(prefix);
  if (p.type == Type::kEnd) return false;
  d.kind = 0;
  d.layer = p.depth;
  d.source = -1;
  d.legal.clear();
  for (int choice = 0; choice < kChoices; ++choice)
    if (allowed(p, choice)) d.legal.push_back(choice);
  return true;
}

std::vector<int32_t> MetaQnnSpace::state(const Arch& prefix) const {
  const Position p = position(prefix);
  const Layer l = p.choice < 0 ? Layer{} : kLayers[static_cast<size_t>(p.choice)];
  return {static_cast<int32_t>(p.type),
          p.depth,
          p.type == Type::kFull ? p.full : l.filters,
          l.kernel,
          l.stride,
          p.type == Type::kFull ? 0 : bucket(p.size),
          l.width,
          p.type == Type::kEnd};
}

Arch MetaQnnSpace::parse(std::string_view text) const {
  std::vector<std::string> names;
  for (const Layer& l : kLayers) names.push_back(text_of(l));
  const std::vector<std::string_view> words(names.begin(), names.end());
  Arch arch;
  Reader r(name(), text);
  do arch.push_back(r.one_of(words));
  while (r.take(", "));
  if (!r.done()) r.fail_at(r.at(), "', '");
  validate(arch);
  return arch;
}

std::string MetaQnnSpace::format(const Arch& arch) const {
  std::string text;
  for (const int32_t choice : arch)
    text += (text.empty() ? "" : ", ") + text_of(kLayers[static_cast<size_t>(choice)]);
  return text;
}

std::string MetaQnnSpace::draw_dot(const Arch& arch) const {
  std::string dot = "digraph metaqnn {\n  rankdir=LR\n  node [shape=box]\n", path = "  image";
  for (size_t i = 0; i < arch.size(); ++i) {
    dot += kernels::text("  ", i, " [label=\"", text_of(kLayers[static_cast<size_t>(arch[i])]), "\"]\n");
    path += kernels::text(" -> ", i);
  }
  return dot + path + "\n}\n";
}

double MetaQnnSpace::count() const {
  std::map<std::tuple<Type, int, int, int, int>, double> known;  // ways to go on from a position
  const std::function<double(const Position&)> ways = [&](const Position& p) -> double {
    if (p.type == Type::kEnd) return 1;
    const int width = p.type == Type::kFull ? p.choice : 0;  // what else the rules look at
    const auto [at, fresh] = known.try_emplace({p.type, p.depth, p.size, width, p.full});
    if (!fresh) return at->second;
    double n = 0;
    for (int choice = 0; choice < kChoices; ++choice)
      if (allowed(p, choice)) n += ways(after(p, choice));
    return at->second = n;
  };
  return ways({.size = size_});
}

size_t MetaQnnSpace::features(Encoding encoding) const {
  // Of the longest path; shorter ones are its beginning, then zeros.
  return encoding == Encoding::kOneHot ? static_cast<size_t>(kChoices * (layers_ + 1)) : 0;
}

}  // namespace mixop::nas
