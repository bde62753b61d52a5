#include "nas/draw.h"

#include <algorithm>
#include <iomanip>
#include <locale>
#include <sstream>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

/// Line, fill and text colour of one kind of operation; also readable for the colour-blind by lightness and text.
struct Style {
  const char *line, *fill, *text;
};

Style style(CellOp op) {
  switch (op) {
    case CellOp::max_pool_3x3:
    case CellOp::avg_pool_3x3:
      return {"#d08a2e", "#fdf0dc", "#7a4a06"};
    case CellOp::skip_connect:
      return {"#5a9e6f", "#e5f4e9", "#1f5c33"};
    case CellOp::none:
      return {"#b0b4ba", "#f3f4f5", "#5f6368"};
    default:
      return {"#5b8fd0", "#e6effb", "#173f7a"};
  }
}

std::string escape_xml(std::string_view text) {
  std::string result;
  for (char c : text) {
    switch (c) {
      case '&':
        result += "&amp;";
        break;
      case '<':
        result += "&lt;";
        break;
      case '>':
        result += "&gt;";
        break;
      case '"':
        result += "&quot;";
        break;
      default:
        result += static_cast<unsigned char>(c) < 32 ? ' ' : c;
    }
  }
  return result;
}

std::ostringstream svg_stream() {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << std::fixed << std::setprecision(1);
  return out;
}

void write_rect(std::ostream& out, const Rect& r, double radius, const char* fill, const char* line,
                double line_width) {
  out << "<rect x=\"" << r.x << "\" y=\"" << r.y << "\" width=\"" << r.width << "\" height=\"" << r.height
      << "\" rx=\"" << radius << "\" fill=\"" << fill << "\" stroke=\"" << line << "\" stroke-width=\""
      << line_width << "\"/>\n";
}

/// Text centred in a rectangle; `markup` is XML.
void write_text(std::ostream& out, const Rect& r, double size, const char* colour, const std::string& markup) {
  out << "<text x=\"" << r.x + r.width / 2 << "\" y=\"" << r.y + r.height / 2 + 0.35 * size << "\" font-size=\""
      << size << "\" fill=\"" << colour << "\" text-anchor=\"middle\">" << markup << "</text>\n";
}

void write_wire(std::ostream& out, const Wire& wire, const char* colour, double line_width) {
  constexpr double kArrow = 7;
  const Point end = wire.path.back();
  out << "<path d=\"M" << wire.path[0].x << ' ' << wire.path[0].y;
  for (std::size_t i = 1; i < wire.path.size(); i += 2) {
    const Point a = wire.path[i - 1];
    Point b = wire.path[i];
    if (i + 1 == wire.path.size()) b.x -= kArrow;
    const double middle = (a.x + b.x) / 2;
    out << " C" << middle << ' ' << a.y << ' ' << middle << ' ' << b.y << ' ' << b.x << ' ' << b.y;
    if (i + 1 < wire.path.size()) out << " L" << wire.path[i + 1].x << ' ' << wire.path[i + 1].y;
  }
  out << "\" fill=\"none\" stroke=\"" << colour << "\" stroke-width=\"" << line_width << "\"/>\n";
  out << "<path d=\"M" << end.x << ' ' << end.y << " l" << -kArrow << " -3.5 v7 z\" fill=\"" << colour << "\"/>\n";
}

std::string box_markup(int box, int states) {
  const auto indexed = [](const char* index) {
    return std::string("c<tspan dy=\"4\" font-size=\"11\">") + index + "</tspan>";
  };
  if (box == 0) return indexed("k\u22122");
  if (box == 1) return indexed("k\u22121");
  return box == states ? indexed("k") : std::to_string(box - 2);
}

void write_cell(std::ostream& out, const CellGenotype& cell, const CellLayout& layout) {
  const int states = cell.nodes() + 2;
  for (const Wire& wire : layout.wires)
    if (wire.edge < 0) write_wire(out, wire, "#b8bdc4", 1.3);
  for (const Wire& wire : layout.wires)
    if (wire.edge >= 0) write_wire(out, wire, style(cell.edges[wire.edge].op).line, 1.6);
  for (const Wire& wire : layout.wires) {
    if (wire.edge < 0) continue;
    const CellOp op = cell.edges[wire.edge].op;
    write_rect(out, wire.label, wire.label.height / 2, style(op).fill, style(op).line, 1);
    write_text(out, wire.label, 13, style(op).text, std::string(op_label(op)));
  }
  for (int box = 0; box <= states; ++box) {
    const bool node = box >= 2 && box < states;
    write_rect(out, layout.boxes[box], 5, node ? "#ffffff" : "#eceef1", "#4a5058", 1.4);
    write_text(out, layout.boxes[box], 15, "#22262b", box_markup(box, states));
  }
}

struct Panel {
  const CellGenotype* cell;
  std::string title;
};

/// Panels one below the other, each under its title.
std::string write_document(const std::vector<Panel>& panels) {
  constexpr double kTitleHeight = 34;
  std::ostringstream body = svg_stream();
  double width = 0, height = 0;
  for (const Panel& panel : panels) {
    const CellLayout layout = layout_cell(*panel.cell);
    if (!panel.title.empty()) {
      body << "<text x=\"20.0\" y=\"" << height + 28 << "\" font-size=\"16\" font-weight=\"bold\" fill=\"#22262b\">"
           << escape_xml(panel.title) << "</text>\n";
      height += kTitleHeight;
    }
    body << "<g transform=\"translate(0 " << height << ")\">\n";
    write_cell(body, *panel.cell, layout);
    body << "</g>\n";
    height += layout.height;
    width = std::max({width, layout.width, 40 + 10.5 * panel.title.size()});
  }
  std::ostringstream out = svg_stream();
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << width << "\" height=\"" << height
      << "\" viewBox=\"0 0 " << width << ' ' << height << "\" font-family=\"Helvetica, Arial, sans-serif\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n"
      << body.str() << "</svg>\n";
  return out.str();
}

}  // namespace

std::string_view op_label(CellOp op) {
  switch (op) {
    case CellOp::none:
      return "none";
    case CellOp::max_pool_3x3:
      return "max 3x3";
    case CellOp::avg_pool_3x3:
      return "avg 3x3";
    case CellOp::skip_connect:
      return "skip";
    case CellOp::sep_conv_3x3:
      return "sep 3x3";
    case CellOp::sep_conv_5x5:
      return "sep 5x5";
    case CellOp::dil_conv_3x3:
      return "dil 3x3";
    case CellOp::dil_conv_5x5:
      return "dil 5x5";
    case CellOp::sep_conv_7x7:
      return "sep 7x7";
    case CellOp::conv_7x1_1x7:
      return "1x7-7x1";
  }
  return "?";
}

std::string draw_dot(const Genotype& genotype, CellKind kind) {
  const CellGenotype& cell = genotype.cell(kind);
  const auto state = [](int s) {
    return s < 2 ? std::string(s == 0 ? "\"c_{k-2}\"" : "\"c_{k-1}\"") : kernels::text('"', s - 2, '"');
  };
  std::ostringstream out;
  out << "digraph " << cell_kind_name(kind) << " {\n"
      << "  rankdir=LR\n"
      << "  edge [fontsize=20, fontname=\"times\"]\n"
      << "  node [style=filled, shape=rect, fontsize=20, height=0.5, width=0.5, penwidth=2, fontname=\"times\"]\n"
      << "  \"c_{k-2}\" [fillcolor=darkseagreen2]\n"
      << "  \"c_{k-1}\" [fillcolor=darkseagreen2]\n";
  for (int node = 0; node < cell.nodes(); ++node) out << "  " << state(node + 2) << " [fillcolor=lightblue]\n";
  for (std::size_t e = 0; e < cell.edges.size(); ++e)
    out << "  " << state(cell.edges[e].input) << " -> " << state(static_cast<int>(e / 2) + 2) << " [label=\""
        << op_name(cell.edges[e].op) << "\"]\n";
  out << "  \"c_{k}\" [fillcolor=palegoldenrod]\n";
  for (int s : cell.concat) out << "  " << state(s) << " -> \"c_{k}\"\n";
  out << "}\n";
  return out.str();
}

std::string draw_svg(const CellGenotype& cell, std::string_view title) {
  return write_document({{&cell, std::string(title)}});
}

std::string draw_svg_both(const Genotype& genotype) {
  const std::string prefix = genotype.name.empty() ? "" : genotype.name + ": ";
  return write_document(
      {{&genotype.normal, prefix + "normal cell"}, {&genotype.reduce, prefix + "reduction cell"}});
}

}  // namespace mixop::nas
