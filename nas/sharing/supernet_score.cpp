#include "nas/sharing/supernet_score.h"

#include <cmath>
#include <cstdio>
#include <set>

#include "kernels/core/check.h"
#include "nas/table/seeds.h"

namespace mixop::nas {
namespace {

/// "Nearly all": so many of what an architecture takes.
constexpr double kCollapsed = 0.8;

template <class... Values>
std::string format(const char* form, Values... values) {
  char text[256];
  std::snprintf(text, sizeof text, form, values...);
  return text;
}

int taken(const MixedSpace& space, const Arch& arch) {
  int rows = 0;
  for (const RowChoices& table : space.path(arch))
    for (const int32_t choice : table) rows += choice >= 0;
  return rows;
}

/// Accuracies of the sample with the supernet and in a column of the table, of those that both have.
struct Pairs {
  std::vector<double> supernet, table;
};
Pairs pairs_of(const Table& table, size_t column, const std::vector<ScoredPath>& sample) {
  Pairs pairs;
  for (const ScoredPath& s : sample) {
    const auto row = table.find(s.arch);
    if (!row || std::isnan(table.value(*row, column))) continue;
    pairs.supernet.push_back(s.accuracy);
    pairs.table.push_back(table.value(*row, column));
  }
  return pairs;
}

}  // namespace

double kendall_tau_b(std::span<const double> a, std::span<const double> b) {
  MIXOP_CHECK(a.size() == b.size(), "kendall: lists of ", a.size(), " and ", b.size(), " numbers");
  int64_t agreement = 0, untied_a = 0, untied_b = 0;
  const auto sign = [](double x, double y) { return (x > y) - (x < y); };
  for (size_t i = 0; i < a.size(); ++i) {
    for (size_t k = i + 1; k < a.size(); ++k) {
      const int in_a = sign(a[i], a[k]), in_b = sign(b[i], b[k]);
      agreement += in_a * in_b;
      untied_a += in_a != 0;
      untied_b += in_b != 0;
    }
  }
  return static_cast<double>(agreement) / std::sqrt(static_cast<double>(untied_a) * static_cast<double>(untied_b));
}

std::vector<Arch> ranking_sample(const Space& space, int count) {
  MIXOP_CHECK(count <= space.count(), "ranking: ", count, " different architectures asked of a space of ",
              space.count());
  constexpr uint64_t kSeed = 20201;
  Random random(kSeed);
  std::set<Arch> known;
  std::vector<Arch> archs;
  while (static_cast<int>(archs.size()) < count) {
    Arch arch = space.sample(random);
    if (known.insert(arch).second) archs.push_back(std::move(arch));
  }
  return archs;
}

Table open_score_table(const std::string& file, const Space& space) {
  Table table = Table::open(std::filesystem::path(file));
  const std::string theirs = table.space().name();
  MIXOP_CHECK(theirs == space.name(), file, ": is a table of the space ", theirs, ", but the search is of ",
              space.name(), "; give a table of that space", theirs == "nb201" ? ", or --space nb201" : "");
  return table;
}

int count_candidate(const MixedSpace& space, const Arch& arch, const std::string& candidate) {
  const std::vector<MixTable> tables = space.tables();
  const std::vector<RowChoices> path = space.path(arch);
  int count = 0;
  for (size_t t = 0; t < tables.size(); ++t)
    for (const int32_t choice : path[t])
      count += choice >= 0 && tables[t].columns[static_cast<size_t>(choice)] == candidate;
  return count;
}

std::string describe_candidates(const MixedSpace& space, const Arch& arch) {
  const int all = taken(space, arch), skips = count_candidate(space, arch, "skip_connect"),
            nones = count_candidate(space, arch, "none");
  std::string text = format("skip connections: %d of %d", skips, all);
  if (nones) text += format(", and %d none", nones);
  text += "\n";
  if (skips + nones >= kCollapsed * all)
    text += format("warning: the search has collapsed: %d of %d operations are skip_connect or none\n",
                   skips + nones, all);
  return text;
}

std::string score_by_table(const Table& table, const Arch& found, const std::vector<ScoredPath>& sample) {
  const auto row = table.find(found);
  if (!row) return "table: it does not hold this architecture\n";
  std::string text;
  for (const ReportedAccuracy& r : reported_accuracies(table)) {
    const auto known = [&](const std::optional<size_t>& column) {
      return column && !std::isnan(table.value(*row, *column));
    };
    text += "table, " + r.dataset + ":";
    if (known(r.valid)) text += format(" validation %.2f %%,", table.value(*row, *r.valid));
    if (known(r.test))
      text += format(" test %.2f %% after %d epochs,", table.value(*row, *r.test), table.columns()[*r.test].epochs);
    if (r.test && !sample.empty()) {
      const Pairs pairs = pairs_of(table, *r.test, sample);
      const Figure random = figure_of(pairs.table);
      text += format(" random %.2f +- %.2f %%, Kendall's tau %.3f of supernet and table over %zu,", random.mean,
                     random.deviation, kendall_tau_b(pairs.supernet, pairs.table), pairs.table.size());
    }
    text.back() = '\n';
  }
  return text;
}

}  // namespace mixop::nas
