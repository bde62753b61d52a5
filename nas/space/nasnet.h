// The cell space of NASNet (Zoph et al. 2018): a normal and a reduction cell of five blocks. A block applies one
// operation to each of two earlier states and adds or concatenates the results; states that no block reads are the
// output of the cell. States are 0 = output of the cell before last, 1 = output of the last cell, 2, 3, ... = the
// blocks. Per block an architecture holds the two states, the two operations and, where it is a choice, the
// combination (0 add, 1 concat).
#pragma once

#include <span>

#include "nas/space/space.h"

namespace mixop::nas {

class NasnetSpace final : public Space {
 public:
  struct Options {
    int blocks = 5;      ///< of a cell, 1 to 9
    int ops = 13;        ///< 13: those of NASNet; 8: those of AmoebaNet (Real et al. 2019)
    bool concat = true;  ///< the combination is a choice; false: always add, as AmoebaNet and PNAS
  };
  explicit NasnetSpace(Options options);

  std::string name() const override { return "nasnet"; }
  std::string describe() const override;
  /// "normal BLOCK ... reduce BLOCK ..." with blocks such as sep_conv_5x5(1)+identity(0), '&' for '+' where the
  /// results are concatenated.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override;
  /// AmoebaNet's: nothing with probability 0.05; else, with equal odds, another state or another operation of a
  /// uniform element of a uniform block of a uniform cell (or the other combination, where it is a choice).
  Child mutate(const Arch& arch, Random& random) const override;
  /// Equal up to the order of the elements of a block.
  ArchKey key(const Arch& arch) const override;
  /// With all orders: (prod_b ((b + 2) ops)^2)^2, times 2 a block with the combination.
  double count() const override;
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  std::string draw_dot(const Arch& arch) const override;

  /// The operations by number.
  std::span<const std::string_view> ops() const;
  const Options& options() const { return options_; }

  struct Element {
    int state, op;
    auto operator<=>(const Element&) const = default;
  };
  struct Block {
    Element first, second;
    bool concat;
  };
  /// A block of the normal (0) or reduction (1) cell.
  Block block(const Arch& arch, int cell, int number) const;

 private:
  size_t per_block() const { return options_.concat ? 5 : 4; }
  size_t per_cell() const { return per_block() * static_cast<size_t>(options_.blocks); }

  Options options_;
};

}  // namespace mixop::nas
