// Pictures of cells: DOT text in the look of the DARTS code, and SVG with an own layout, so that no other program
// is needed for a picture.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "nas/genotype.h"

namespace mixop::nas {

struct Point {
  double x, y;
};

/// Axis-parallel rectangle; x, y is the upper left corner, y grows downwards. All lengths are SVG user units
/// (pixels).
struct Rect {
  double x, y, width, height;
};

/// One edge of the picture: an operation that enters a node, or a state that enters the output.
struct Wire {
  int edge;      // index into CellGenotype::edges, or -1 for a wire to the output
  int from, to;  // boxes
  std::vector<Point>
      path;    // points[2k] to [2k+1] are joined by a horizontal-tangent curve, [2k+1] to [2k+2] by a line
  Rect label;  // of the operation's name; empty for a wire to the output
};

/// Where everything goes. Boxes are the states in order, then the output. Wires cross no box but their ends and no
/// label but their own; boxes and labels do not overlap.
struct CellLayout {
  double width, height;
  std::vector<Rect> boxes;
  std::vector<Wire> wires;
};

/// Lays a valid cell out from left to right: states in layers by longest path from the inputs, the names of
/// operations in columns of their own in front of the node they enter, few crossings, long wires nearly straight.
/// Deterministic.
CellLayout layout_cell(const CellGenotype& cell);

/// Short name for pictures: "sep 3x3", "dil 5x5", "max 3x3", "skip", "1x7-7x1", ...
std::string_view op_label(CellOp op);

/// DOT source of one cell, for graphviz: input boxes c_{k-2} and c_{k-1}, nodes 0, 1, ..., output c_{k}.
std::string draw_dot(const Genotype& genotype, CellKind kind);

/// A complete SVG document of one cell on a white background, with a title above it (may be empty).
std::string draw_svg(const CellGenotype& cell, std::string_view title);

/// The normal cell above the reduction cell in one SVG document, titled with the genotype's name.
std::string draw_svg_both(const Genotype& genotype);

}  // namespace mixop::nas
