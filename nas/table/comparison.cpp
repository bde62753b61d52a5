#include "nas/table/comparison.h"

#include <algorithm>
#include <chrono>
#include <cstdio>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

std::string fixed(double value, int digits, bool sign = false) {
  char text[64];
  std::snprintf(text, sizeof text, sign ? "%+.*f" : "%.*f", digits, value);
  return text;
}

std::string figure(const Figure& f, int digits, const char* between) {
  return fixed(f.mean, digits) + between + fixed(f.deviation, digits);
}

// One line of cells for each of: ours, published, distance.
struct Lines {
  std::vector<std::string> ours, published, distance;
};

Lines lines_of(const ComparisonRow& row, const char* between) {
  Lines lines;
  lines.ours = {row.method};
  for (const Figure& f : row.ours) lines.ours.push_back(figure(f, 2, between));
  std::string seconds, evaluations;
  for (const Figure& f : row.seconds) seconds += (seconds.empty() ? "" : " / ") + fixed(f.mean, 0);
  for (const Figure& f : row.evaluations) evaluations += (evaluations.empty() ? "" : " / ") + fixed(f.mean, 1);
  lines.ours.insert(lines.ours.end(), {seconds, evaluations, fixed(row.wall_seconds, 2)});
  if (row.published.empty()) return lines;
  lines.published = {"published"};
  lines.distance = {"distance"};
  for (size_t i = 0; i < row.published.size(); ++i) {
    lines.published.push_back(figure(row.published[i], 2, between));
    lines.distance.push_back(fixed(row.ours[i].mean - row.published[i].mean, 2, true));
  }
  for (auto* line : {&lines.published, &lines.distance}) line->resize(lines.ours.size());
  return lines;
}

std::vector<std::string> headings_of(const Comparison& comparison) {
  std::vector<std::string> all = {"method"};
  all.insert(all.end(), comparison.headings.begin(), comparison.headings.end());
  all.insert(all.end(), {comparison.seconds_heading, "evaluations", "wall s"});
  return all;
}

std::string joined(const std::vector<std::string>& cells, const char* before, const char* between,
                   const char* after) {
  std::string line = before;
  for (size_t i = 0; i < cells.size(); ++i) line += (i ? between : "") + cells[i];
  return line + after;
}

std::string format_markdown(const Comparison& c) {
  const auto line = [](const std::vector<std::string>& cells) { return joined(cells, "| ", " | ", " |\n"); };
  const std::vector<std::string> headings = headings_of(c);
  std::string text = kernels::text("### ", c.title, "\n\n", line(headings));
  text += line(std::vector<std::string>(headings.size(), "---"));
  for (const ComparisonRow& row : c.rows) {
    const Lines lines = lines_of(row, "±");
    text += line(lines.ours);
    if (!lines.published.empty()) text += line(lines.published) + line(lines.distance);
  }
  std::string notes;
  for (const ComparisonRow& row : c.rows)
    if (!row.note.empty()) notes += "- " + row.method + ": " + row.note + "\n";
  return text + (notes.empty() ? "" : "\n" + notes);
}

std::string format_latex(const Comparison& c) {
  const auto line = [](const std::vector<std::string>& cells) { return joined(cells, "", " & ", " \\\\\n"); };
  const std::vector<std::string> headings = headings_of(c);
  std::string text =
      kernels::text("% ", c.title, "\n\\begin{tabular}{l", std::string(headings.size() - 1, 'r'), "}\n\\hline\n");
  text += line(headings) + "\\hline\n";
  for (const ComparisonRow& row : c.rows) {
    const Lines lines = lines_of(row, "$\\pm$");
    text += line(lines.ours);
    if (!lines.published.empty()) text += line(lines.published) + line(lines.distance);
  }
  text += "\\hline\n\\end{tabular}\n";
  for (size_t at = 0; (at = text.find('_', at)) != std::string::npos; at += 2) text.insert(at, 1, '\\');
  return text;
}

// One line for each row and column: a program's form.
std::string format_csv(const Comparison& c) {
  std::string text = "method,column,mean,deviation,published_mean,published_deviation,distance\n";
  for (const ComparisonRow& row : c.rows) {
    std::string method = row.method;
    std::replace(method.begin(), method.end(), ',', ' ');
    const auto line = [&](const std::string& column, const Figure& f, const std::string& rest) {
      text += method + "," + column + "," + fixed(f.mean, 4) + "," + fixed(f.deviation, 4) + "," + rest + "\n";
    };
    for (size_t i = 0; i < row.ours.size(); ++i) {
      std::string rest = ",,";
      if (!row.published.empty())
        rest = figure(row.published[i], 2, ",") + "," + fixed(row.ours[i].mean - row.published[i].mean, 4);
      line(c.headings[i], row.ours[i], rest);
    }
    for (size_t i = 0; i < row.seconds.size(); ++i) {
      const std::string number = row.seconds.size() > 1 ? kernels::text(" ", i + 1) : "";
      line(c.seconds_heading + number, row.seconds[i], ",,");
      line("evaluations" + number, row.evaluations[i], ",,");
    }
    line("wall seconds", {row.wall_seconds, 0}, ",,");
  }
  return text;
}

}  // namespace

std::vector<ReportedColumn> reported_columns(const Table& table, const std::vector<std::string>& datasets) {
  std::vector<ReportedColumn> all;
  for (const ReportedAccuracy& r : reported_accuracies(table)) {
    if (!datasets.empty() && !std::count(datasets.begin(), datasets.end(), r.dataset)) continue;
    if (r.valid) all.push_back({r.dataset + " val", *r.valid});
    if (r.test) all.push_back({r.dataset + " test", *r.test});
  }
  return all;
}

ComparisonRow compare(const Table& table, const std::vector<ComparedSearch>& searches, const StrategyChoice& choice,
                      int seeds, int threads, std::vector<LabelledRuns>& runs) {
  ComparisonRow row{.method = choice.label, .ours = {}, .seconds = {}, .evaluations = {}};
  const auto begin = std::chrono::steady_clock::now();
  for (const ComparedSearch& s : searches) {
    const std::vector<SearchRun> found = run_seeds(table, s.search, choice, seeds, threads);
    const auto figure_over = [&found](const auto& value) {
      std::vector<double> values;
      for (const SearchRun& run : found) values.push_back(value(run));
      return figure_of(values);
    };
    for (const ReportedColumn& r : s.reports)
      row.ours.push_back(figure_over([&](const SearchRun& run) { return table.value(run.row(), r.column); }));
    row.seconds.push_back(figure_over([](const SearchRun& run) { return run.seconds; }));
    row.evaluations.push_back(
        figure_over([](const SearchRun& run) { return static_cast<double>(run.evaluations); }));
    runs.push_back({choice.label, found});
  }
  row.wall_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
  return row;
}

std::string format_comparison(const Comparison& comparison, TableFormat format) {
  switch (format) {
    case TableFormat::kMarkdown:
      return format_markdown(comparison);
    case TableFormat::kCsv:
      return format_csv(comparison);
    case TableFormat::kLatex:
      return format_latex(comparison);
  }
  kernels::fail("unknown format of a table");
}

}  // namespace mixop::nas
