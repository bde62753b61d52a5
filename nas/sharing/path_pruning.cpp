#include "nas/sharing/path_pruning.h"

#include <algorithm>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

/// A row of a table among all candidates of the space.
struct Row {
  size_t first, columns;
};

class PathPruning final : public PathSelection {
 public:
  PathPruning(const MixedSpace& space, int64_t batches) : space_(space), batches_(batches) {
    MIXOP_CHECK(batches_ >= 0, "pruning: needs 0 or more batches");
    for (const MixTable& table : space_.tables()) {
      size_t most = 0;
      for (int r = 0; r < table.rows; ++r) {
        rows_.push_back({all_.size(), table.columns.size()});
        for (const std::string& name : table.columns) {
          all_.push_back(name != "none");
          names_.push_back(kernels::text(table.name, '[', r, "] ", name));
        }
        most = std::max(most, left(all_, rows_.back()).size());
      }
      int halvings = 0;
      for (; most > 1; most = (most + 1) / 2) ++halvings;
      halvings_ = std::max(halvings_, halvings);
    }
  }

  int rounds() const override { return halvings_ + 1; }

  SelectionRound plan(int round, const std::vector<ScoredPath>& history, Random&) const override {
    Arch kept = all_;
    for (int r = 0; r < round; ++r) kept = halve(kept, r, history);
    SelectionRound next{{}, batches_};
    for (const Row& row : rows_)
      for (const size_t candidate : left(kept, row)) {
        if (round < halvings_ && left(kept, row).size() == 1) continue;  // it stays in any case
        next.archs.push_back(kept);
        next.archs.back()[candidate] = 0;
      }
    return next;
  }

  PathSample network(const MixedSpace&, const Arch& entry) const override { return {split(entry), {}}; }

  /// Of candidates that lasted to later rounds the later is the stronger, of those of a round what is worse to
  /// miss.
  Arch answer(const std::vector<ScoredPath>& history) const override {
    const auto [worst, best] =
        std::minmax_element(history.begin(), history.end(),
                            [](const ScoredPath& a, const ScoredPath& b) { return a.accuracy < b.accuracy; });
    const double range = best->accuracy - worst->accuracy;
    Arch kept = all_;
    TableValues strengths(all_.size(), 0.0);
    int round = 0;
    for (const ScoredPath& s : history) {
      for (; round < s.round; ++round) kept = halve(kept, round, history);
      const double missed = range > 0 ? (best->accuracy - s.accuracy) / range : 0;
      strengths[missing(kept, s)] = (round + 0.5 * missed + 0.5) / rounds();
    }
    return space_.decode(split(strengths));
  }

  std::string format(const ScoredPath& s, const std::vector<ScoredPath>& history) const override {
    Arch kept = all_;
    for (int r = 0; r < s.round; ++r) kept = halve(kept, r, history);
    return kernels::text("all of ", std::count(kept.begin(), kept.end(), 1), " but ", names_[missing(kept, s)]);
  }

 private:
  /// Numbers for all candidates, by table.
  template <class Values>
  std::vector<TableValues> split(const Values& values) const {
    std::vector<TableValues> tables;
    auto at = values.begin();
    for (const MixTable& table : space_.tables()) {
      const auto end = at + static_cast<std::ptrdiff_t>(table.columns.size()) * table.rows;
      tables.emplace_back(at, end);
      at = end;
    }
    return tables;
  }

  static std::vector<size_t> left(const Arch& kept, const Row& row) {
    std::vector<size_t> candidates;
    for (size_t i = row.first; i < row.first + row.columns; ++i)
      if (kept[i]) candidates.push_back(i);
    return candidates;
  }

  static size_t missing(const Arch& kept, const ScoredPath& s) {
    const auto differs = std::mismatch(kept.begin(), kept.end(), s.arch.begin()).first;
    return static_cast<size_t>(differs - kept.begin());
  }

  /// What the scores of that round leave; of equal ones the first stay.
  Arch halve(const Arch& kept, int round, const std::vector<ScoredPath>& history) const {
    std::vector<double> without(kept.size(), 0.0);
    for (const ScoredPath& s : history)
      if (s.round == round) without[missing(kept, s)] = s.accuracy;
    Arch next = kept;
    for (const Row& row : rows_) {
      std::vector<size_t> candidates = left(kept, row);
      std::stable_sort(candidates.begin(), candidates.end(),
                       [&](size_t a, size_t b) { return without[a] < without[b]; });
      for (size_t i = (candidates.size() + 1) / 2; i < candidates.size(); ++i) next[candidates[i]] = 0;
    }
    return next;
  }

  const MixedSpace& space_;
  int64_t batches_;
  int halvings_ = 0;
  Arch all_;  // of all candidates, table after table, row-major: those that are there at the start
  std::vector<Row> rows_;
  std::vector<std::string> names_;  // by candidate
};

}  // namespace

std::unique_ptr<PathSelection> path_pruning(const MixedSpace& space, int64_t batches) {
  return std::make_unique<PathPruning>(space, batches);
}

}  // namespace mixop::nas
