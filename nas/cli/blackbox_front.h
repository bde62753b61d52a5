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

 private:
  std::vector<std::string> objectives_;
  nas::ParetoArchive archive_;
};

}  // namespace mixop::cli
