// The DARTS supernet as a space of shared weights: tables [edges, operations] of normal and reduction cells.
#include <algorithm>
#include <array>

#include "kernels/core/check.h"
#include "nas/decode.h"
#include "nas/sharing/mixed_space.h"
#include "nas/space/darts_space.h"

namespace mixop::nas {
namespace {

class DartsMixed final : public MixedSpace {
 public:
  explicit DartsMixed(const SupernetOptions& options) : options_(options) { options_.check(); }

  const Space& space() const override { return space_; }
  std::vector<MixTable> tables() const override {
    std::vector<std::string> columns;
    for (const CellOp op : options_.operations) columns.emplace_back(op_name(op));
    return {{"alphas_normal", options_.edges(), columns}, {"alphas_reduce", options_.edges(), columns}};
  }
  std::array<int64_t, 3> image() const override {
    return {options_.height, options_.width, options_.image_channels};
  }
  NetworkOutputs build(Graph& g, Value images, Stores& stores, const std::vector<Mixing>& mixing,
                       bool training) const override {
    return build_supernet(g, images, stores, options_, mixing.at(0), mixing.at(1), training);
  }
  Arch decode(const std::vector<TableValues>& tables) const override { return darts_arch(genotype(tables)); }
  std::string decode_text(const std::vector<TableValues>& tables) const override {
    return format_genotype(genotype(tables));
  }
  std::vector<RowChoices> path(const Arch& arch) const override {
    const Genotype g = darts_genotype(arch);
    return {rows_of(g.normal), rows_of(g.reduce)};
  }

 private:
  Genotype genotype(const std::vector<TableValues>& tables) const {
    return {choose_cell(all_operations(tables.at(0)), options_.nodes),
            choose_cell(all_operations(tables.at(1)), options_.nodes), ""};
  }
  /// The table with the columns of kDartsOps: a candidate that the supernet lacks is never the strongest, of one
  /// that it has twice the first counts.
  TableValues all_operations(const TableValues& table) const {
    const size_t columns = options_.operations.size();
    MIXOP_CHECK(table.size() % columns == 0, "supernet: a table of ", table.size(), " values for ", columns,
                " candidates");
    TableValues all;
    for (size_t row = 0; row < table.size(); row += columns)
      for (const CellOp op : kDartsOps) {
        const auto at = std::find(options_.operations.begin(), options_.operations.end(), op);
        const auto column = static_cast<size_t>(at - options_.operations.begin());
        all.push_back(column < columns ? table[row + column] : -1);
      }
    return all;
  }
  RowChoices rows_of(const CellGenotype& cell) const {
    RowChoices rows(static_cast<size_t>(options_.edges()), -1);
    for (size_t i = 0; i < cell.edges.size(); ++i) {
      const int node = static_cast<int>(i) / 2;
      const auto op = std::find(options_.operations.begin(), options_.operations.end(), cell.edges[i].op);
      MIXOP_CHECK(op != options_.operations.end(), "supernet: it has no candidate ", op_name(cell.edges[i].op));
      rows.at(static_cast<size_t>(edge_count(node) + cell.edges[i].input)) =
          static_cast<int32_t>(op - options_.operations.begin());
    }
    return rows;
  }

  SupernetOptions options_;
  DartsSpace space_;
};

}  // namespace

std::unique_ptr<MixedSpace> darts_mixed_space(const SupernetOptions& options) {
  return std::make_unique<DartsMixed>(options);
}

std::vector<int> add_choices(Graph& g, int rows) {
  std::vector<int> choices;
  for (int i = 0; i < rows; ++i) choices.push_back(g.add_choice());
  return choices;
}

}  // namespace mixop::nas
