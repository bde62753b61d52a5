#include "nas/plot.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <locale>
#include <sstream>

namespace mixop::nas {
namespace {

constexpr double kHeight = 460, kLeft = 70, kRight = 580, kTop = 40, kBottom = 400;

// Okabe and Ito 2008.
constexpr std::array<const char*, 8> kColours = {"#0072b2", "#d55e00", "#009e73", "#cc79a7",
                                                 "#e69f00", "#56b4e9", "#555555", "#7b3fa0"};

std::string escape(const std::string& text) {
  std::string safe;
  for (const char c : text) {
    if (c == '&') safe += "&amp;";
    else if (c == '<') safe += "&lt;";
    else if (c == '>') safe += "&gt;";
    else safe += c;
  }
  return safe;
}

std::ostringstream stream(int digits) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(digits);
  return out;
}

std::string number(double v) {
  auto out = stream(6);
  out << v;
  return out.str();
}

struct Axis {
  bool logarithmic;
  double least, most;  // of the data, as drawn
  double begin, end;   // in the picture
  std::vector<double> ticks{};

  bool shows(double v) const { return std::isfinite(v) && (!logarithmic || v > 0); }
  double scale(double v) const { return logarithmic ? std::log10(v) : v; }
  double at(double v) const {
    const double share = (scale(v) - scale(least)) / (scale(most) - scale(least));
    return begin + std::clamp(share, 0.0, 1.0) * (end - begin);
  }
};

// 1, 2 and 5 times the powers of ten inside the axis; of a logarithmic one over many decades the powers alone.
std::vector<double> ticks_of(const Axis& axis) {
  std::vector<double> ticks;
  const double slack = 1e-9 * (axis.most - axis.least);
  if (!axis.logarithmic) {
    const double rough = (axis.most - axis.least) / 6, power = std::pow(10, std::floor(std::log10(rough)));
    const double step = power * (rough <= 2 * power ? 2 : rough <= 5 * power ? 5 : 10);
    for (double i = std::ceil(axis.least / step - 1e-9); i * step <= axis.most + slack; ++i)
      ticks.push_back(i * step + 0.0);  // no -0
    return ticks;
  }
  const bool fine = std::log10(axis.most / axis.least) < 3;
  for (double e = std::floor(std::log10(axis.least)); std::pow(10, e) <= axis.most; ++e)
    for (const double m : {1, 2, 5}) {
      const double v = m * std::pow(10, e);
      if ((fine || m == 1) && v >= axis.least - slack && v <= axis.most + slack) ticks.push_back(v);
    }
  return ticks;
}

Axis axis_of(const Plot& plot, bool horizontal) {
  Axis axis{.logarithmic = horizontal ? plot.log_x : plot.log_y,
            .least = HUGE_VAL,
            .most = -HUGE_VAL,
            .begin = horizontal ? kLeft : kBottom,
            .end = horizontal ? kRight : kTop};
  for (const PlotSeries& s : plot.series)
    for (const auto* values :
         {horizontal ? &s.x : &s.y, horizontal ? nullptr : &s.low, horizontal ? nullptr : &s.high})
      for (size_t i = 0; values && i < values->size(); ++i)
        if (const double v = (*values)[i]; axis.shows(v)) {
          axis.least = std::min(axis.least, v);
          axis.most = std::max(axis.most, v);
        }
  if (axis.least > axis.most) axis.least = axis.most = 1;
  if (axis.least == axis.most) {
    axis.most += std::max(std::abs(axis.most), 1e-9);
    if (!axis.logarithmic) axis.least -= std::max(std::abs(axis.least), 1e-9);
  }
  axis.ticks = ticks_of(axis);
  return axis;
}

void draw_text(std::ostream& out, double x, double y, const char* anchor, const std::string& text) {
  out << "<text x=\"" << x << "\" y=\"" << y << "\" text-anchor=\"" << anchor << "\">" << escape(text)
      << "</text>\n";
}

void draw_axes(std::ostream& out, const Plot& plot, const Axis& x, const Axis& y) {
  out << "<g stroke=\"#dddddd\">\n";
  for (const double t : x.ticks) out << "<path d=\"M" << x.at(t) << ' ' << kTop << "V" << kBottom << "\"/>\n";
  for (const double t : y.ticks) out << "<path d=\"M" << kLeft << ' ' << y.at(t) << "H" << kRight << "\"/>\n";
  out << "</g>\n<path d=\"M" << kLeft << ' ' << kTop << "V" << kBottom << "H" << kRight
      << "\" fill=\"none\" stroke=\"black\"/>\n";
  for (const double t : x.ticks) draw_text(out, x.at(t), kBottom + 18, "middle", number(t));
  for (const double t : y.ticks) draw_text(out, kLeft - 6, y.at(t) + 4, "end", number(t));
  draw_text(out, (kLeft + kRight) / 2, kBottom + 40, "middle", plot.x_label);
  draw_text(out, (kLeft + kRight) / 2, kTop - 16, "middle", plot.title);
  const double middle = (kTop + kBottom) / 2;
  out << "<text transform=\"translate(20 " << middle << ") rotate(-90)\" text-anchor=\"middle\">"
      << escape(plot.y_label) << "</text>\n";
}

// "M x y L x y ..." through the points that the axes show; `back` goes from the last to the first.
void trace(std::ostream& out, const Axis& x, const Axis& y, const std::vector<double>& xs,
           const std::vector<double>& ys, bool back, const char* begin) {
  const size_t n = std::min(xs.size(), ys.size());
  for (size_t k = 0; k < n; ++k) {
    const size_t i = back ? n - 1 - k : k;
    if (!x.shows(xs[i]) || !y.shows(ys[i])) continue;
    out << begin << x.at(xs[i]) << ' ' << y.at(ys[i]);
    begin = "L";
  }
}

void draw_series(std::ostream& out, const PlotSeries& s, const char* colour, const Axis& x, const Axis& y) {
  if (s.points) {
    for (size_t i = 0; i < s.x.size(); ++i)
      if (x.shows(s.x[i]) && y.shows(s.y[i]))
        out << "<circle cx=\"" << x.at(s.x[i]) << "\" cy=\"" << y.at(s.y[i]) << "\" r=\"2.5\" fill=\"" << colour
            << "\"/>\n";
    return;
  }
  if (!s.low.empty()) {
    out << "<path fill=\"" << colour << "\" fill-opacity=\"0.12\" stroke=\"" << colour
        << "\" stroke-opacity=\"0.35\" d=\"";
    trace(out, x, y, s.x, s.low, false, "M");
    trace(out, x, y, s.x, s.high, true, "L");
    out << "Z\"/>\n";
  }
  out << "<path fill=\"none\" stroke-width=\"1.8\" stroke=\"" << colour << "\" d=\"";
  trace(out, x, y, s.x, s.y, false, "M");
  out << "\"/>\n";
}

}  // namespace

std::string plot_svg(const Plot& plot) {
  const Axis x = axis_of(plot, true), y = axis_of(plot, false);
  size_t longest = 0;
  for (const PlotSeries& s : plot.series) longest = std::max(longest, s.label.size());
  const double width = kRight + 60 + 7 * static_cast<double>(longest);
  auto out = stream(6);
  out << "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 " << width << ' ' << kHeight << "\" width=\""
      << width << "\" height=\"" << kHeight << "\" font-family=\"sans-serif\" font-size=\"12\">\n"
      << "<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n";
  draw_axes(out, plot, x, y);
  for (size_t i = 0; i < plot.series.size(); ++i) {
    const char* const colour = kColours[i % kColours.size()];
    draw_series(out, plot.series[i], colour, x, y);
    const double line = kTop + 8 + 20 * static_cast<double>(i);
    out << "<path stroke-width=\"3\" stroke=\"" << colour << "\" d=\"M" << kRight + 14 << ' ' << line
        << "h20\"/>\n";
    draw_text(out, kRight + 40, line + 4, "start", plot.series[i].label);
  }
  out << "</svg>\n";
  return out.str();
}

}  // namespace mixop::nas
