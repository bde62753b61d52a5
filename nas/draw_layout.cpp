// Layered drawing (Sugiyama, Tagawa, Toda 1981) in which the labels are items of the layering too: states stand in
// even columns, labels in odd ones, and a wire has one item in every column that it passes. Items of a column never
// overlap and wires bend only between columns, so that no wire can run through a box or a label.
#include <algorithm>
#include <cmath>
#include <numeric>

#include "nas/draw.h"

namespace mixop::nas {
namespace {

constexpr double kBoxWidth = 60, kBoxHeight = 38, kLabelHeight = 22, kMargin = 20;
constexpr double kFontSize = 13, kCharWidth = 0.62 * kFontSize;  // wide enough for common sans-serif fonts

enum class ItemKind { box, label, pass };

struct Item {
  ItemKind kind;
  int column;
  double height;
  double y = 0;  // of the centre
};

/// A piece of a wire between two neighbouring columns; ports are offsets from the centre of a box.
struct Link {
  int from, to, wire;
  double from_port = 0, to_port = 0;
};

/// Free space between the edges of two items, one above the other.
double gap(const Item& a, const Item& b) {
  if (a.kind == ItemKind::box && b.kind == ItemKind::box) return 30;
  if (a.kind == ItemKind::box || b.kind == ItemKind::box) return 18;
  return a.kind == ItemKind::label && b.kind == ItemKind::label ? 9 : 12;
}

class Layout {
 public:
  explicit Layout(const CellGenotype& cell) : cell_(cell) { build(); }

  CellLayout run() {
    order_columns();
    set_ports();
    place_rows();
    return geometry();
  }

 private:
  using Columns = std::vector<std::vector<int>>;

  void build() {
    const int states = cell_.nodes() + 2;
    std::vector<int> layer(states + 1, 0);
    for (int s = 2; s < states; ++s)
      layer[s] = 1 + std::max(layer[cell_.edges[2 * s - 4].input], layer[cell_.edges[2 * s - 3].input]);
    layer[states] = 1 + *std::max_element(layer.begin(), layer.end());
    columns_.resize(2 * layer[states]);  // no label stands in front of the output, so it follows the last states
    for (int s = 0; s < states; ++s) add_item(ItemKind::box, 2 * layer[s], kBoxHeight);
    add_item(ItemKind::box, 2 * layer[states] - 1, kBoxHeight);
    for (int e = 0; e < static_cast<int>(cell_.edges.size()); ++e) add_wire(e, cell_.edges[e].input, 2 + e / 2);
    for (int state : cell_.concat) add_wire(-1, state, states);
  }

  int add_item(ItemKind kind, int column, double height) {
    items_.push_back({kind, column, height});
    columns_[column].push_back(static_cast<int>(items_.size()) - 1);
    return columns_[column].back();
  }

  void add_wire(int edge, int from, int to) {
    int last = from;
    for (int column = items_[from].column + 1; column <= items_[to].column; ++column) {
      int next = to;
      if (column < items_[to].column) {
        const bool label = edge >= 0 && column == items_[to].column - 1;
        next = label ? add_item(ItemKind::label, column, kLabelHeight) : add_item(ItemKind::pass, column, 0);
      }
      links_.push_back({last, next, static_cast<int>(wires_.size())});
      last = next;
    }
    wires_.push_back({edge, from, to, {}, {}});
  }

  std::vector<double> positions(const Columns& columns) const {
    std::vector<double> at(items_.size());
    for (const auto& column : columns)
      for (std::size_t i = 0; i < column.size(); ++i) at[column[i]] = i - 0.5 * (column.size() - 1.0);
    return at;
  }

  /// Crossings, those of operations counted more than those of the pale wires to the output; ties are broken by how
  /// far wires climb.
  double cost(const Columns& columns) const {
    const std::vector<double> at = positions(columns);
    double total = 0;
    for (std::size_t a = 0; a < links_.size(); ++a) {
      const Link& la = links_[a];
      total += 1e-3 * std::abs(at[la.from] - at[la.to]);
      for (std::size_t b = 0; b < a; ++b) {
        const Link& lb = links_[b];
        if (items_[la.from].column != items_[lb.from].column) continue;
        if ((at[la.from] - at[lb.from]) * (at[la.to] - at[lb.to]) < 0)
          total += (wires_[la.wire].edge >= 0 ? 2 : 1) * (wires_[lb.wire].edge >= 0 ? 2 : 1);
      }
    }
    return total;
  }

  /// Sorts a column by the mean position of its neighbours in the column before (step 1) or after (step -1).
  void sort_column(Columns& columns, int column, int step) const {
    std::vector<double> at = positions(columns), sum(items_.size(), 0), count(items_.size(), 0);
    for (const Link& link : links_) {
      const int item = step > 0 ? link.to : link.from, other = step > 0 ? link.from : link.to;
      sum[item] += at[other];
      count[item] += 1;
    }
    for (int item : columns[column])
      if (count[item] > 0) at[item] = sum[item] / count[item];
    std::stable_sort(columns[column].begin(), columns[column].end(), [&](int a, int b) { return at[a] < at[b]; });
  }

  /// Swaps neighbours in a column as long as that lowers the cost.
  void swap_neighbours(Columns& columns) const {
    double best = cost(columns);
    for (bool better = true; better;) {
      better = false;
      for (std::size_t c = 1; c < columns.size(); ++c)  // the inputs keep their order
        for (std::size_t i = 0; i + 1 < columns[c].size(); ++i) {
          std::swap(columns[c][i], columns[c][i + 1]);
          if (const double now = cost(columns); now < best - 1e-9) {
            best = now;
            better = true;
          } else {
            std::swap(columns[c][i], columns[c][i + 1]);
          }
        }
    }
  }

  /// Barycentre sweeps and swaps from several starting orders; the best result is kept.
  void order_columns() {
    constexpr int kStarts = 12, kSweeps = 4;
    const int last = static_cast<int>(columns_.size()) - 1;
    Columns best = columns_;
    double best_cost = 1e300;
    unsigned seed = 1;
    for (int start = 0; start < kStarts; ++start) {
      Columns columns = columns_;
      for (int c = 1; start > 0 && c <= last; ++c)
        for (std::size_t i = columns[c].size(); i > 1; --i) {
          seed = seed * 1664525u + 1013904223u;  // any fixed shuffle will do
          std::swap(columns[c][i - 1], columns[c][(seed >> 16) % i]);
        }
      for (int sweep = 0; sweep < kSweeps; ++sweep) {
        for (int c = 1; c <= last; ++c) sort_column(columns, c, 1);
        for (int c = last - 1; c >= 1; --c) sort_column(columns, c, -1);
      }
      swap_neighbours(columns);
      if (const double now = cost(columns); now < best_cost - 1e-9) {
        best_cost = now;
        best = columns;
      }
    }
    columns_ = best;
  }

  /// Spreads the wires of a box along its side, in the order of where they go.
  void set_ports() {
    const std::vector<double> at = positions(columns_);
    for (std::size_t box = 0; box < items_.size() && items_[box].kind == ItemKind::box; ++box)
      for (const bool out : {false, true}) {
        std::vector<Link*> side;
        for (Link& link : links_)
          if ((out ? link.from : link.to) == static_cast<int>(box)) side.push_back(&link);
        std::stable_sort(side.begin(), side.end(), [&](const Link* a, const Link* b) {
          return out ? at[a->to] < at[b->to] : at[a->from] < at[b->from];
        });
        const double n = side.size(), step = n > 1 ? std::min(9.0, 0.7 * kBoxHeight / (n - 1)) : 0;
        for (std::size_t i = 0; i < side.size(); ++i)
          (out ? side[i]->from_port : side[i]->to_port) = step * (i - 0.5 * (n - 1));
      }
  }

  /// Least squares of the climbs of all links, those inside a long wire weighted heavily, by sweeps that move one
  /// column at a time to its optimum under the minimum distances.
  void place_rows() {
    for (auto& column : columns_) {
      const std::vector<double> start(column.size(), 0.0), weight(column.size(), 1.0);
      assign(column, start, weight);
    }
    constexpr int kSweeps = 400;
    for (int sweep = 0; sweep < 3 * kSweeps; ++sweep) {
      // Moderate at first, as heavy weights make the sweeps converge slowly; then heavy, which straightens the
      // wires.
      const double inside = sweep < kSweeps ? 8 : 200;
      for (auto& column : columns_) {
        std::vector<double> want(column.size(), 0.0), weight(column.size(), 1e-3);  // weakly towards the middle
        for (std::size_t i = 0; i < column.size(); ++i) {
          for (const Link& link : links_) {
            if (link.from != column[i] && link.to != column[i]) continue;
            const bool bends = items_[link.from].kind == ItemKind::box || items_[link.to].kind == ItemKind::box;
            const double w = bends ? 1 : inside;
            const double shift = link.from_port - link.to_port;
            want[i] += w * (link.from == column[i] ? items_[link.to].y - shift : items_[link.from].y + shift);
            weight[i] += w;
          }
          want[i] /= weight[i];
        }
        assign(column, want, weight);
      }
    }
  }

  /// Nearest centres (weighted least squares) to `want` that respect order and gaps: isotonic regression by pooling
  /// adjacent violators, after the minimum distances are subtracted.
  void assign(const std::vector<int>& column, const std::vector<double>& want, const std::vector<double>& weight) {
    struct Block {
      double mean, weight;
      std::size_t count;
    };
    std::vector<double> offset(column.size(), 0.0);
    std::vector<Block> blocks;
    for (std::size_t i = 0; i < column.size(); ++i) {
      if (i > 0) {
        const Item &above = items_[column[i - 1]], &item = items_[column[i]];
        offset[i] = offset[i - 1] + 0.5 * (above.height + item.height) + gap(above, item);
      }
      blocks.push_back({want[i] - offset[i], weight[i], 1});
      while (blocks.size() > 1 && blocks[blocks.size() - 2].mean > blocks.back().mean) {
        const Block b = blocks.back();
        blocks.pop_back();
        Block& a = blocks.back();
        a.mean = (a.mean * a.weight + b.mean * b.weight) / (a.weight + b.weight);
        a.weight += b.weight;
        a.count += b.count;
      }
    }
    std::size_t i = 0;
    for (const Block& block : blocks)
      for (std::size_t k = 0; k < block.count; ++k, ++i) items_[column[i]].y = block.mean + offset[i];
  }

  double label_width(int edge) const { return op_label(cell_.edges[edge].op).size() * kCharWidth + 16; }

  CellLayout geometry() const {
    std::vector<double> item_width(items_.size(), 0.0);
    for (std::size_t i = 0; i < items_.size(); ++i)
      if (items_[i].kind == ItemKind::box) item_width[i] = kBoxWidth;
    for (const Link& link : links_)
      if (items_[link.to].kind == ItemKind::label) item_width[link.to] = label_width(wires_[link.wire].edge);

    // The steeper the links between two columns, the more room they get.
    std::vector<double> climb(columns_.size(), 0.0), centre(columns_.size()), width(columns_.size(), 0.0);
    for (const Link& link : links_) {
      const double dy = items_[link.to].y + link.to_port - items_[link.from].y - link.from_port;
      double& steepest = climb[items_[link.to].column];
      steepest = std::max(steepest, std::abs(dy));
    }
    double x = kMargin, top = 1e300, bottom = -1e300;
    for (std::size_t c = 0; c < columns_.size(); ++c) {
      for (int item : columns_[c]) {
        width[c] = std::max(width[c], item_width[item]);
        top = std::min(top, items_[item].y - 0.5 * items_[item].height);
        bottom = std::max(bottom, items_[item].y + 0.5 * items_[item].height);
      }
      if (c > 0) x += std::clamp(0.6 * climb[c], 30.0, 80.0);
      centre[c] = x + 0.5 * width[c];
      x += width[c];
    }

    const auto rect = [&](int i) {
      const Item& item = items_[i];
      return Rect{centre[item.column] - 0.5 * item_width[i], item.y - 0.5 * item.height - top + kMargin,
                  item_width[i], item.height};
    };
    CellLayout result{x + kMargin, bottom - top + 2 * kMargin, {}, wires_};
    for (int box = 0; box < cell_.nodes() + 3; ++box) result.boxes.push_back(rect(box));
    for (const Link& link : links_) {
      Wire& wire = result.wires[link.wire];
      const Item &from = items_[link.from], &to = items_[link.to];
      wire.path.push_back(
          {centre[from.column] + 0.5 * width[from.column], from.y + link.from_port - top + kMargin});
      wire.path.push_back({centre[to.column] - 0.5 * width[to.column], to.y + link.to_port - top + kMargin});
      if (to.kind == ItemKind::label) wire.label = rect(link.to);
    }
    return result;
  }

  const CellGenotype& cell_;
  std::vector<Item> items_;  // the boxes first
  std::vector<Wire> wires_;
  std::vector<Link> links_;
  Columns columns_;  // items from top to bottom
};

}  // namespace

CellLayout layout_cell(const CellGenotype& cell) { return Layout(cell).run(); }

}  // namespace mixop::nas
