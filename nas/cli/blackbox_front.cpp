#include "nas/cli/blackbox_front.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>

#include "nas/plot.h"

namespace mixop::cli {
namespace {

std::vector<nas::Objectives> front_of(const std::vector<nas::Objectives>& all) {
  std::vector<nas::Objectives> front;
  for (const size_t i : nas::non_dominated(all)) front.push_back(all[i]);
  return front;
}

// Points of the first two objectives, from the fastest (say) to the most accurate.
nas::PlotSeries series_of(const std::string& label, std::vector<nas::Objectives> points, bool as_points) {
  std::sort(points.begin(), points.end(), [](const auto& a, const auto& b) { return a[1] < b[1]; });
  nas::PlotSeries series{.label = label, .x = {}, .y = {}, .points = as_points};
  for (const nas::Objectives& p : points) {
    series.x.push_back(p[1]);
    series.y.push_back(p[0]);
  }
  return series;
}

}  // namespace

void SearchFront::add(const nas::Evaluated& e) {
  if (!objectives_.empty() && !e.outcome.failed)
    archive_.add({e.candidate.id, e.candidate.arch, e.outcome.objectives});
}

void SearchFront::read(const std::filesystem::path& evaluations, const nas::Space& space) {
  if (objectives_.empty()) return;
  std::ifstream in(evaluations);
  for (std::string text; std::getline(in, text);) {
    const nas::Json line = nas::Json::parse(text);
    if (!line.contains("failed"))
      archive_.add({line.at("id"), space.parse(line.at("arch").get<std::string>()), line.at("objectives")});
  }
}

std::string SearchFront::coverage(const std::vector<nas::Objectives>& all) const {
  if (all.empty() || objectives_.size() > 3) return "";
  nas::Objectives worst = all.front();
  for (const nas::Objectives& point : all)
    for (size_t i = 0; i < worst.size(); ++i) worst[i] = std::max(worst[i], point[i]);
  const double share = nas::hypervolume_ratio(archive_.points(), front_of(all), worst);
  return fmt::format("hypervolume: {:.3f} % of the true front's (reference point: the worst of the table)\n",
                     100 * share);
}

std::string SearchFront::svg(const std::vector<nas::Objectives>& all) const {
  nas::Plot plot{.title = "Front of the search",
                 .x_label = objectives_[1],
                 .y_label = objectives_[0] + " (%)",
                 .log_y = true,
                 .series = {}};
  // With more than two objectives the projection of the true front is no line.
  if (!all.empty()) plot.series.push_back(series_of("true front", front_of(all), objectives_.size() > 2));
  plot.series.push_back(series_of("found", archive_.points(), true));
  return nas::plot_svg(plot);
}

}  // namespace mixop::cli
