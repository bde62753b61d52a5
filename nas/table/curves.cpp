#include "nas/table/curves.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <locale>
#include <sstream>

namespace mixop::nas {
namespace {

constexpr int kPoints = 100;

// Linear between the two nearest of the sorted values.
double quantile(const std::vector<double>& sorted, double share) {
  const double place = share * static_cast<double>(sorted.size() - 1);
  const auto below = static_cast<size_t>(place);
  const size_t above = std::min(below + 1, sorted.size() - 1);
  return sorted[below] + (place - static_cast<double>(below)) * (sorted[above] - sorted[below]);
}

double place_of(const SearchRun::Improvement& i, bool over_seconds) {
  return over_seconds ? i.seconds : static_cast<double>(i.evaluations);
}

size_t best_row_at(const SearchRun& run, double x, bool over_seconds) {
  size_t row = run.improvements.front().row;
  for (const SearchRun::Improvement& i : run.improvements)
    if (place_of(i, over_seconds) <= x) row = i.row;
  return row;
}

}  // namespace

std::vector<RegretCurve> regret_curves(const Table& table, size_t column, const std::vector<LabelledRuns>& all,
                                       bool over_seconds) {
  double optimum = -HUGE_VAL, begin = 0, end = 0;
  for (size_t row = 0; row < table.rows(); ++row)
    if (const double v = table.value(row, column); v > optimum) optimum = v;
  for (const LabelledRuns& set : all)
    for (const SearchRun& run : set.runs) {
      begin = std::max(begin, place_of(run.improvements.front(), over_seconds));
      end = std::max(end, over_seconds ? run.seconds : static_cast<double>(run.evaluations));
    }

  std::vector<RegretCurve> curves;
  for (const LabelledRuns& set : all) {
    RegretCurve curve{.label = set.label, .x = {}, .mean = {}, .lower = {}, .median = {}};
    for (int p = 0; p < kPoints; ++p) {
      const double x = p + 1 < kPoints ? begin * std::pow(end / begin, p / (kPoints - 1.0)) : end;
      std::vector<double> regrets;
      for (const SearchRun& run : set.runs)
        regrets.push_back(optimum - table.value(best_row_at(run, x, over_seconds), column));
      std::sort(regrets.begin(), regrets.end());
      curve.x.push_back(x);
      curve.mean.push_back(figure_of(regrets).mean);
      curve.lower.push_back(quantile(regrets, 0.25));
      curve.median.push_back(quantile(regrets, 0.5));
      curve.upper.push_back(quantile(regrets, 0.75));
    }
    curves.push_back(std::move(curve));
  }
  return curves;
}

std::string curves_csv(const std::vector<RegretCurve>& curves, bool over_seconds) {
  std::ostringstream out;
  out.imbue(std::locale::classic());
  out.precision(8);
  out << "strategy," << (over_seconds ? "seconds" : "evaluations")
      << ",mean,lower_quartile,median,upper_quartile\n";
  for (const RegretCurve& c : curves) {
    std::string label = c.label;
    std::replace(label.begin(), label.end(), ',', ' ');
    for (size_t i = 0; i < c.x.size(); ++i)
      out << label << ',' << c.x[i] << ',' << c.mean[i] << ',' << c.lower[i] << ',' << c.median[i] << ','
          << c.upper[i] << '\n';
  }
  return out.str();
}

std::string curves_svg(const std::vector<RegretCurve>& curves, const std::string& accuracy, bool over_seconds) {
  Plot plot{.title = "Regret of the best so far: " + accuracy,
            .x_label = over_seconds ? "simulated seconds" : "evaluations",
            .y_label = "points of accuracy: mean and quartiles",
            .log_x = true,
            .log_y = true,
            .series = {}};
  for (const RegretCurve& c : curves)
    plot.series.push_back({.label = c.label, .x = c.x, .y = c.mean, .low = c.lower, .high = c.upper});
  return plot_svg(plot);
}

}  // namespace mixop::nas
