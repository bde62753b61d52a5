// A space as one big network whose candidates share their weights: every decision is a row of a table, every
// candidate a column. A method says what the tables hold (softmaxed alphas, gates, one-hot samples) and which
// candidates are carried out; the space says what network that makes, and which architecture it stands for.
#pragma once

#include <array>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "nas/space/space.h"
#include "nas/supernet.h"

namespace mixop::nas {

struct MixTable {
  std::string name;  ///< of the architecture parameters, such as "alphas_normal"
  int rows;
  std::vector<std::string> columns;  ///< names of the candidates
};

/// One number for each candidate, row-major.
using TableValues = std::vector<double>;
/// For each row the candidate that is taken; -1: none is.
using RowChoices = std::vector<int32_t>;

class MixedSpace {
 public:
  virtual ~MixedSpace() = default;
  /// What can be derived from the tables.
  virtual const Space& space() const = 0;
  virtual std::vector<MixTable> tables() const = 0;
  /// Height, width and channels of the images.
  virtual std::array<int64_t, 3> image() const = 0;
  /// Adds the network; one mixing a table, in the order of tables().
  virtual NetworkOutputs build(Graph& g, Value images, Stores& stores, const std::vector<Mixing>& mixing,
                               bool training) const = 0;
  /// The architecture of the largest entries of normalised tables, by the rule of the space.
  virtual Arch decode(const std::vector<TableValues>& tables) const = 0;
  /// The same as text; that of cells is a genotype, whose edges come in the order of their strength.
  virtual std::string decode_text(const std::vector<TableValues>& tables) const {
    return space().format(decode(tables));
  }
  /// The candidates that an architecture takes, by table.
  virtual std::vector<RowChoices> path(const Arch& arch) const = 0;
};

/// The supernet of DARTS.
std::unique_ptr<MixedSpace> darts_mixed_space(const SupernetOptions& options);

/// One choice of the graph for each row of a table of that many rows.
std::vector<int> add_choices(Graph& g, int rows);

}  // namespace mixop::nas
