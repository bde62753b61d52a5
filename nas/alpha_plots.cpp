#include "nas/alpha_plots.h"

#include <algorithm>
#include <cmath>
#include <locale>
#include <sstream>

#include "kernels/core/check.h"
#include "nas/draw.h"
#include "nas/plot.h"

namespace mixop::nas {
namespace {

std::vector<double> count_epochs(size_t n) {
  std::vector<double> epochs;
  for (size_t e = 0; e < n; ++e) epochs.push_back(static_cast<double>(e));
  return epochs;
}

/// Of the row's strengths as shares; none where they are all 0.
double row_entropy(const double* row, size_t columns) {
  double sum = 0, entropy = 0;
  for (size_t k = 0; k < columns; ++k) sum += row[k];
  for (size_t k = 0; k < columns; ++k)
    if (row[k] > 0) entropy -= row[k] / sum * std::log(row[k] / sum);
  return entropy;
}

/// The value of width or height in a picture's first tag.
double length_of(const std::string& svg, const std::string& name) {
  const size_t at = svg.find(" " + name + "=\""), end = svg.find('>');
  MIXOP_CHECK(svg.rfind("<svg", 0) == 0 && at < end, "pictures: not a picture with a ", name);
  return std::stod(svg.substr(at + name.size() + 3));
}

}  // namespace

std::string tile_svg(const std::vector<std::string>& pictures, int columns, double scale) {
  MIXOP_CHECK(columns >= 1, "pictures: ", columns, " columns");
  const auto n = static_cast<size_t>(columns);
  std::vector<double> left(n + 1, 0.0), top((pictures.size() + n - 1) / n + 1, 0.0);
  for (size_t i = 0; i < pictures.size(); ++i) {
    left[i % n + 1] = std::max(left[i % n + 1], scale * length_of(pictures[i], "width"));
    top[i / n + 1] = std::max(top[i / n + 1], scale * length_of(pictures[i], "height"));
  }
  for (std::vector<double>* sides : {&left, &top})
    for (size_t k = 1; k < sides->size(); ++k) (*sides)[k] += (*sides)[k - 1];
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"" << left.back() << "\" height=\"" << top.back()
      << "\" viewBox=\"0 0 " << left.back() << ' ' << top.back() << "\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  for (size_t i = 0; i < pictures.size(); ++i)
    out << "<g transform=\"translate(" << left[i % n] << ' ' << top[i / n] << ") scale(" << scale << ")\">\n"
        << pictures[i] << "</g>\n";
  out << "</svg>\n";
  return out.str();
}

std::string plot_strengths(const StrengthHistory& history) {
  const size_t columns = history.table.columns.size();
  std::vector<std::string> plots;
  for (size_t row = 0; row < static_cast<size_t>(history.table.rows); ++row) {
    Plot plot{history.table.name + kernels::text(", edge ", row), "epoch", "strength", false, false, {}};
    for (size_t k = 0; k < columns; ++k) {
      PlotSeries line{history.table.columns[k], count_epochs(history.epochs.size()), {}};
      for (const TableValues& epoch : history.epochs) line.y.push_back(epoch.at(row * columns + k));
      plot.series.push_back(std::move(line));
    }
    plots.push_back(plot_svg(plot));
  }
  return tile_svg(plots, 4, 0.5);
}

std::string plot_entropy(const std::vector<StrengthHistory>& histories) {
  Plot plot{"Mean entropy of an edge's candidates", "epoch", "entropy (nats)", false, false, {}};
  for (const StrengthHistory& h : histories) {
    const size_t columns = h.table.columns.size();
    PlotSeries line{h.table.name, count_epochs(h.epochs.size()), {}};
    for (const TableValues& epoch : h.epochs) {
      double sum = 0;
      for (size_t row = 0; row < static_cast<size_t>(h.table.rows); ++row)
        sum += row_entropy(epoch.data() + row * columns, columns);
      line.y.push_back(sum / h.table.rows);
    }
    plot.series.push_back(std::move(line));
  }
  return plot_svg(plot);
}

std::string draw_evolution(const std::vector<std::pair<int, Genotype>>& epochs) {
  std::vector<std::string> cells;
  for (const CellKind kind : {CellKind::normal, CellKind::reduce})
    for (const auto& [epoch, genotype] : epochs)
      cells.push_back(draw_svg(genotype.cell(kind), kernels::text(cell_kind_name(kind), " cell, epoch ", epoch)));
  return tile_svg(cells, static_cast<int>(epochs.size()), 0.6);
}

}  // namespace mixop::nas
