// The front of a search with several aims, as a file and in the report.
#pragma once

#include <filesystem>

#include "nas/search/loop.h"
#include "nas/search/pareto.h"

namespace mixop::cli {

class SearchFront {
 public:
  /// The objectives' names; empty: the search has one aim, and the front stays empty.
  explicit SearchFront(std::vector<std::string> objectives) : objectives_(std::move(objectives)) {}

  void add(const nas::Evaluated& evaluated);
  /// Adds all lines of an evaluations.jsonl.
  void read(const std::filesystem::path& evaluations, const nas::Space& space);

  bool empty() const { return archive_.members().empty(); }
  std::string table(const nas::Space& space) const {
    return nas::front_table(space, archive_.members(), objectives_);
  }
  std::string csv(const nas::Space& space) const { return nas::front_csv(space, archive_.members(), objectives_); }
  /// The hypervolume as a share of that of the true front among `all`, one line; empty when `all` is, or with more
  /// than three objectives. The reference point is the worst of `all` in each objective.
  std::string coverage(const std::vector<nas::Objectives>& all) const;
  /// The front, over the true one among `all`: the error against the second objective.
  std::string svg(const std::vector<nas::Objectives>& all) const;

 private:
  std::vector<std::string> objectives_;
  nas::ParetoArchive archive_;
};

}  // namespace mixop::cli
