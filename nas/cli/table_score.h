// The result of a search by shared weights, scored by a benchmark table where one is given.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "datasets/loader.h"
#include "nas/cli/config.h"
#include "nas/sharing/path_scorer.h"
#include "nas/sharing/supernet_score.h"

namespace mixop::cli {

/// --table, --ranked and --rank-batches.
std::vector<Key> table_score_keys();

class TableScore {
 public:
  /// Of a search of that space, which must outlive this. Throws mixop::Error when the file is no table, or one of
  /// another space.
  TableScore(const Config& config, const nas::Space& space);

  /// A table is given.
  explicit operator bool() const { return table_.has_value(); }
  /// The architectures that measure how a supernet ranks; none without a table.
  const std::vector<nas::Arch>& sample() const { return sample_; }
  /// How many validation batches score one of them: at most `all`.
  int64_t batches(int64_t all) const { return batches_ ? std::min(batches_, all) : all; }

  /// Scores the sample with the weights in `stores`, on the first batches of the loader, and adds up what the table
  /// says (see nas::score_by_table); empty without a table. Batch norms take batch statistics.
  std::string report(const nas::MixedSpace& space, nas::Stores& stores, const nas::Arch& found,
                     datasets::Loader& loader, const nas::ImageSource& images,
                     const autograd::CompileOptions& compile) const;
  /// The same of a sample that is scored.
  std::string report(const nas::Arch& found, const std::vector<nas::ScoredPath>& scored) const {
    return table_ ? nas::score_by_table(*table_, found, scored) : "";
  }

 private:
  std::optional<nas::Table> table_;
  std::vector<nas::Arch> sample_;
  int64_t batches_;
};

}  // namespace mixop::cli
