// Pictures of how a search of alphas went, as SVG.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "nas/genotype.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// How strong each candidate of a table was, [rows, columns] row-major, after each epoch.
struct StrengthHistory {
  MixTable table;
  std::vector<TableValues> epochs;
};

/// A plot for each row of the table: a line for each candidate over the epochs, counted from 0.
std::string plot_strengths(const StrengthHistory& history);
/// A line for each table: the mean over its rows of the entropy of the strengths as shares of their row, in nats.
std::string plot_entropy(const std::vector<StrengthHistory>& histories);
/// The normal cells above the reduction cells, a column for each epoch.
std::string draw_evolution(const std::vector<std::pair<int, Genotype>>& epochs);

/// Pictures made by this library in rows of `columns`, `scale` times as large. Throws mixop::Error for a text that
/// is no such picture.
std::string tile_svg(const std::vector<std::string>& pictures, int columns, double scale);

}  // namespace mixop::nas
