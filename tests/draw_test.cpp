// Pictures of cells: the geometry of the layout for all published and many random cells, and the text of DOT and
// SVG.
#include "nas/draw.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/core/check.h"
#include "nas/genotypes_published.h"

namespace mixop::nas {
namespace {

bool overlap(const Rect& a, const Rect& b, double margin) {
  return a.x < b.x + b.width + margin && b.x < a.x + a.width + margin && a.y < b.y + b.height + margin &&
         b.y < a.y + a.height + margin;
}

bool inside(const Rect& r, Point p, double margin) {
  return p.x > r.x - margin && p.x < r.x + r.width + margin && p.y > r.y - margin && p.y < r.y + r.height + margin;
}

/// Points along the drawn path: cubic curves with horizontal tangents, joined by lines.
std::vector<Point> sample(const std::vector<Point>& path) {
  std::vector<Point> result;
  for (std::size_t i = 0; i + 1 < path.size(); ++i)
    for (int k = 0; k <= 40; ++k) {
      const double t = k / 40.0, s = 1 - t;
      const Point a = path[i], b = path[i + 1];
      const double bend = i % 2 == 0 ? t * t * (3 - 2 * t) : t;
      const double middle = (a.x + b.x) / 2;
      const double x = i % 2 == 0 ? s * s * s * a.x + 3 * s * t * middle + t * t * t * b.x : s * a.x + t * b.x;
      result.push_back({x, a.y + bend * (b.y - a.y)});
    }
  return result;
}

void check_layout(const CellGenotype& cell, const std::string& name) {
  SCOPED_TRACE(name);
  const CellLayout layout = layout_cell(cell);
  const int states = cell.nodes() + 2;
  ASSERT_EQ(layout.boxes.size(), static_cast<std::size_t>(states + 1));
  ASSERT_EQ(layout.wires.size(), cell.edges.size() + cell.concat.size());

  std::vector<Rect> rects = layout.boxes;
  std::vector<const Wire*> owner(rects.size(), nullptr);
  std::vector<int> seen(cell.edges.size(), 0), outputs;
  for (const Wire& wire : layout.wires) {
    if (wire.edge < 0) {
      EXPECT_EQ(wire.to, states);
      outputs.push_back(wire.from);
      continue;
    }
    ++seen[wire.edge];
    EXPECT_EQ(wire.from, cell.edges[wire.edge].input);
    EXPECT_EQ(wire.to, 2 + wire.edge / 2);
    // 7 units a character at size 13: an average sans-serif letter.
    EXPECT_GT(wire.label.width, 7.0 * op_label(cell.edges[wire.edge].op).size());
    rects.push_back(wire.label);
    owner.push_back(&wire);
  }
  EXPECT_EQ(std::count(seen.begin(), seen.end(), 1), static_cast<int>(seen.size()));
  EXPECT_EQ(outputs, cell.concat);

  for (std::size_t i = 0; i < rects.size(); ++i) {
    EXPECT_TRUE(rects[i].x >= 10 && rects[i].y >= 10 && rects[i].x + rects[i].width <= layout.width - 10 &&
                rects[i].y + rects[i].height <= layout.height - 10)
        << "item " << i << " leaves the picture";
    for (std::size_t k = 0; k < i; ++k)
      EXPECT_FALSE(overlap(rects[i], rects[k], 6)) << "items " << i << " and " << k;
  }
  for (const Wire& wire : layout.wires) {
    const Rect &from = layout.boxes[wire.from], &to = layout.boxes[wire.to];
    ASSERT_GE(wire.path.size(), 2u);
    ASSERT_EQ(wire.path.size() % 2, 0u);
    EXPECT_NEAR(wire.path.front().x, from.x + from.width, 0.01);
    EXPECT_NEAR(wire.path.back().x, to.x, 0.01);
    EXPECT_TRUE(inside(from, wire.path.front(), 0.01) && inside(to, wire.path.back(), 0.01)) << "wire off its box";
    EXPECT_LT(from.x + from.width, to.x) << "wire runs backwards";
    bool through_label = wire.edge < 0;
    for (const Point& p : sample(wire.path)) {
      for (std::size_t i = 0; i < rects.size(); ++i) {
        const bool own = owner[i] == &wire || static_cast<int>(i) == wire.from || static_cast<int>(i) == wire.to;
        EXPECT_FALSE(!own && inside(rects[i], p, 3))
            << "wire " << wire.from << "->" << wire.to << " hits item " << i;
      }
      through_label |= wire.edge >= 0 && inside(wire.label, p, 0);
    }
    EXPECT_TRUE(through_label) << "label " << wire.edge << " is not on its wire";
  }
}

CellGenotype random_cell(std::mt19937& random, int nodes) {
  CellGenotype cell;
  for (int e = 0; e < 2 * nodes; ++e)
    cell.edges.push_back({static_cast<CellOp>(random() % 10), static_cast<int>(random() % (e / 2 + 2))});
  for (int state = 0; state < nodes + 2; ++state)
    if (random() % 2 || state == nodes + 1) cell.concat.push_back(state);
  return cell;
}

std::size_t count(const std::string& text, const std::string& part) {
  std::size_t n = 0;
  for (std::size_t at = 0; (at = text.find(part, at)) != std::string::npos; at += part.size()) ++n;
  return n;
}

/// Checks that tags nest and close; enough of XML for what we write.
void check_xml(const std::string& text) {
  std::vector<std::string> open;
  for (std::size_t at = 0; (at = text.find('<', at)) != std::string::npos;) {
    const std::size_t end = text.find('>', at);
    ASSERT_NE(end, std::string::npos);
    const std::string tag = text.substr(at + 1, end - at - 1);
    EXPECT_EQ(count(tag, "\"") % 2, 0u) << tag;
    EXPECT_EQ(tag.find('<'), std::string::npos) << tag;
    const std::string name = tag.substr(tag[0] == '/', tag.find_first_of(" /", 1) - (tag[0] == '/'));
    if (tag[0] == '/') {
      ASSERT_FALSE(open.empty());
      EXPECT_EQ(open.back(), tag.substr(1));
      open.pop_back();
    } else if (tag.back() != '/') {
      open.push_back(name);
    }
    at = end;
  }
  EXPECT_TRUE(open.empty());
  EXPECT_EQ(text.find("nan"), std::string::npos);
  EXPECT_EQ(text.find("inf"), std::string::npos);
}

TEST(DrawLayout, PublishedCellsHaveNoCollision) {
  for (const Genotype& genotype : published_genotypes()) {
    check_layout(genotype.normal, genotype.name + " normal");
    check_layout(genotype.reduce, genotype.name + " reduce");
  }
}

TEST(DrawLayout, RandomCellsHaveNoCollision) {
  std::mt19937 random(7);
  for (int i = 0; i < 60; ++i) {
    const int nodes = 1 + i % 6;
    check_layout(random_cell(random, nodes), kernels::text("random cell ", i));
  }
}

TEST(DrawLayout, IsDeterministic) {
  const Genotype genotype = load_genotype("AmoebaNet-A");
  EXPECT_EQ(draw_svg_both(genotype), draw_svg_both(genotype));
}

TEST(DrawSvg, EveryEdgeAndStateAppears) {
  for (const Genotype& genotype : published_genotypes()) {
    SCOPED_TRACE(genotype.name);
    const std::string svg = draw_svg(genotype.normal, "");
    check_xml(svg);
    for (const Edge& edge : genotype.normal.edges) {
      const auto same = std::count_if(genotype.normal.edges.begin(), genotype.normal.edges.end(),
                                      [&](const Edge& e) { return e.op == edge.op; });
      EXPECT_EQ(count(svg, kernels::text(">", op_label(edge.op), "</text>")), static_cast<std::size_t>(same));
    }
    for (int node = 0; node < genotype.normal.nodes(); ++node)
      EXPECT_EQ(count(svg, kernels::text(">", node, "</text>")), 1u);
    EXPECT_EQ(count(svg, "c<tspan"), 3u);
    // A line and an arrow head each.
    EXPECT_EQ(count(svg, "<path"), 2 * (genotype.normal.edges.size() + genotype.normal.concat.size()));
    EXPECT_EQ(count(svg, "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>"), 1u);
  }
}

TEST(DrawSvg, BothCellsUnderTheirTitles) {
  const Genotype genotype = load_genotype("NASNet-A");
  const std::string svg = draw_svg_both(genotype);
  check_xml(svg);
  const std::size_t normal = svg.find(">NASNet-A: normal cell<"), reduce = svg.find(">NASNet-A: reduction cell<");
  ASSERT_NE(normal, std::string::npos);
  ASSERT_NE(reduce, std::string::npos);
  EXPECT_LT(normal, reduce);
  EXPECT_EQ(count(svg, "<g "), 2u);
  EXPECT_EQ(count(svg, "<svg "), 1u);
}

TEST(DrawSvg, TitlesAreEscaped) {
  const std::string svg = draw_svg(load_genotype("SNAS").normal, "a<b> & \"c\"");
  check_xml(svg);
  EXPECT_NE(svg.find(">a&lt;b&gt; &amp; &quot;c&quot;</text>"), std::string::npos);
}

TEST(DrawDot, LooksLikeDarts) {
  const std::string dot = draw_dot(load_genotype("DARTS_V2"), CellKind::normal);
  EXPECT_NE(dot.find("rankdir=LR"), std::string::npos);
  EXPECT_NE(dot.find("\"c_{k-2}\" -> \"0\" [label=\"sep_conv_3x3\"]"), std::string::npos);
  EXPECT_NE(dot.find("\"0\" -> \"3\" [label=\"dil_conv_3x3\"]"), std::string::npos);
  EXPECT_NE(dot.find("\"3\" -> \"c_{k}\""), std::string::npos);
  EXPECT_EQ(count(dot, " -> "), 12u);
  EXPECT_EQ(count(dot, "{"), count(dot, "}"));
  // NASNet-A concatenates the older input; a double edge is drawn twice.
  const std::string nasnet = draw_dot(load_genotype("NASNet-A"), CellKind::normal);
  EXPECT_NE(nasnet.find("\"c_{k-2}\" -> \"c_{k}\""), std::string::npos);
  EXPECT_EQ(count(nasnet, "\"c_{k-2}\" -> \"3\" [label=\"avg_pool_3x3\"]"), 2u);
  EXPECT_EQ(draw_dot(load_genotype("DARTS"), CellKind::reduce).substr(0, 14), "digraph reduce");
}

}  // namespace
}  // namespace mixop::nas
