#include "nas/cli/compare_runs.h"

#include <fmt/format.h>

#include <algorithm>
#include <filesystem>
#include <sstream>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/checkpoint_store.h"
#include "nas/cli/config.h"

namespace mixop::cli {
namespace {

struct FinishedRun {
  std::string directory, strategy, settings;
  int64_t seed = 0, failures = 0;
  Json rest;                 // of the configuration: what must agree
  std::vector<double> best;  // after each evaluation
  double seconds = 0, wall_seconds = 0;
};

FinishedRun read_run(const std::string& directory) {
  const std::filesystem::path path = directory;
  FinishedRun run;
  run.directory = directory;
  try {
    Json config = Json::parse(autograd::read_file(path / "run.json")).at("config");
    run.strategy = config.at("search").at("strategy");
    run.seed = config.at("search").at("seed");
    const Json settings = config.value("strategy", Json::object());
    for (const auto& [name, value] : settings.items())
      run.settings += fmt::format("{}{}={}", run.settings.empty() ? "" : ",", name,
                                  value.is_string() ? value.get<std::string>() : value.dump());
    for (const char* free : {"strategy", "seed", "workers"}) config["search"].erase(free);
    for (const char* free : {"strategy", "run"}) config.erase(free);
    config["data"].erase("root");
    run.rest = config;
    std::istringstream lines(autograd::read_file(path / "evaluations.jsonl"));
    for (std::string line; std::getline(lines, line);) {
      const Json evaluation = Json::parse(line);
      run.best.push_back(evaluation.value("best", 0.0));
      run.seconds += evaluation.at("cost").get<double>();
      run.failures += evaluation.contains("failed");
    }
    const Checkpoint last = read_checkpoint(path / "ckpt" / "latest");
    run.wall_seconds = Json::parse(last.file("state.json")).at("wall_seconds");
  } catch (const Json::exception& e) {
    kernels::fail(directory, ": not the run of a search that evaluates candidates: ", e.what());
  }
  MIXOP_CHECK(!run.best.empty(), directory, ": the search has evaluated nothing yet");
  return run;
}

void check_comparable(const FinishedRun& first, const FinishedRun& run) {
  for (const auto& [section, values] : first.rest.items())
    for (const auto& [key, value] : values.items())
      MIXOP_CHECK(run.rest.value(section, Json::object()).value(key, Json()) == value, run.directory,
                  ": cannot be compared with ", first.directory, ": ", section, ".", key, " differs");
}

// The best so far over evaluations, until the shortest run ends.
nas::PlotSeries curve(const std::string& label, const std::vector<FinishedRun>& runs) {
  size_t length = runs[0].best.size();
  for (const FinishedRun& run : runs) length = std::min(length, run.best.size());
  nas::PlotSeries series{.label = label, .x = {}, .y = {}};
  for (size_t i = 0; i < length; ++i) {
    std::vector<double> values;
    for (const FinishedRun& run : runs) values.push_back(run.best[i]);
    const auto [low, high] = std::minmax_element(values.begin(), values.end());
    series.x.push_back(static_cast<double>(i + 1));
    series.y.push_back(nas::figure_of(values).mean);
    series.low.push_back(*low);
    series.high.push_back(*high);
  }
  return series;
}

template <class Of>
nas::Figure figure(const std::vector<FinishedRun>& runs, Of of) {
  std::vector<double> values;
  for (const FinishedRun& run : runs) values.push_back(static_cast<double>(of(run)));
  return nas::figure_of(values);
}

}  // namespace

ComparedRuns compare_runs(const std::vector<std::string>& directories) {
  std::vector<std::pair<std::string, std::vector<FinishedRun>>> groups;  // by strategy and settings, as first seen
  for (const std::string& directory : directories) {
    FinishedRun run = read_run(directory);
    if (!groups.empty()) check_comparable(groups[0].second[0], run);
    const std::string label = run.strategy + (run.settings.empty() ? "" : ":" + run.settings);
    auto group = std::find_if(groups.begin(), groups.end(), [&](const auto& g) { return g.first == label; });
    if (group == groups.end()) group = groups.insert(groups.end(), {label, {}});
    for (const FinishedRun& other : group->second)
      MIXOP_CHECK(other.seed != run.seed, run.directory, ": the same strategy and seed as ", other.directory);
    group->second.push_back(std::move(run));
  }
  const Json& rest = groups.at(0).second[0].rest;
  const std::string data = rest.at("data").value("name", "");
  const std::string what = fmt::format("{} on {}", rest.at("search").value("space", ""),
                                       data.empty() ? rest["search"].value("dataset", "") : data);
  ComparedRuns compared;
  compared.comparison = {.title = what + "; mean and standard deviation over the seeds",
                         .headings = {"best validation accuracy", "failed"},
                         .rows = {},
                         .seconds_heading = "seconds of candidates"};
  compared.curves = {.title = what,
                     .x_label = "evaluations",
                     .y_label = "best validation accuracy so far (%): mean and range",
                     .series = {}};
  for (const auto& [label, runs] : groups) {
    nas::ComparisonRow row{.method = runs[0].strategy, .ours = {}, .seconds = {}, .evaluations = {}};
    row.ours = {figure(runs, [](const FinishedRun& r) { return r.best.back(); }),
                figure(runs, [](const FinishedRun& r) { return r.failures; })};
    row.seconds = {figure(runs, [](const FinishedRun& r) { return r.seconds; })};
    row.evaluations = {figure(runs, [](const FinishedRun& r) { return r.best.size(); })};
    row.note = label + "; seeds";
    for (const FinishedRun& run : runs) {
      row.wall_seconds += run.wall_seconds;
      row.note += fmt::format("{} {}", &run == &runs[0] ? "" : ",", run.seed);
    }
    compared.curves.series.push_back(curve(runs[0].strategy, runs));
    compared.comparison.rows.push_back(std::move(row));
  }
  return compared;
}

}  // namespace mixop::cli
