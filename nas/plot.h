// Line plots as SVG: lines with bands, or points.
#pragma once

#include <string>
#include <vector>

namespace mixop::nas {

struct PlotSeries {
  std::string label;
  std::vector<double> x, y;
  std::vector<double> low{}, high{};  ///< a band around the line; empty: none
  bool points = false;                ///< marks instead of a line
};

struct Plot {
  std::string title, x_label, y_label;
  bool log_x = false, log_y = false;  ///< logarithmic axes; what is not above 0 is left out
  std::vector<PlotSeries> series;
};

/// A picture with axes, ticks and a legend at its right; up to eight colours that the colour-blind tell apart.
std::string plot_svg(const Plot& plot);

}  // namespace mixop::nas
