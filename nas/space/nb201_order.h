// Cells of NAS-Bench-201 as bare tuples of six numbers, which mean different things to different projects.
#pragma once

#include <optional>
#include <string_view>

#include "nas/space/space.h"

namespace mixop::nas {

enum class Nb201Order : uint8_t {
  kNats,   ///< edges 0>1, 0>2, 1>2, 0>3, 1>3, 2>3; operations none, skip, conv 1x1, conv 3x3, pool
  kNaslib  ///< edges 0>1, 0>2, 0>3, 1>2, 1>3, 2>3; operations skip, none, conv 3x3, conv 1x1, pool
};

/// "nats" or "naslib"; nothing for any other name.
std::optional<Nb201Order> find_nb201_order(std::string_view name);

/// The architecture of six numbers 0 to 4 in that order; throws mixop::Error for others.
Arch nb201_from_tuple(const Arch& tuple, Nb201Order order);
Arch nb201_to_tuple(const Arch& arch, Nb201Order order);

}  // namespace mixop::nas
