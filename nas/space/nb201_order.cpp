#include "nas/space/nb201_order.h"

#include <array>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

// Where NASLib's n-th edge stands in ours, and what its n-th operation is in ours. Both are their own inverses.
constexpr std::array<size_t, 6> kNaslibEdges = {0, 1, 3, 2, 4, 5};
constexpr std::array<int32_t, 5> kNaslibOps = {1, 0, 3, 2, 4};

Arch exchange(const Arch& from) {
  Arch to(from.size());
  for (size_t e = 0; e < from.size(); ++e) to[kNaslibEdges[e]] = kNaslibOps[static_cast<size_t>(from[e])];
  return to;
}

}  // namespace

std::optional<Nb201Order> find_nb201_order(std::string_view name) {
  if (name == "nats") return Nb201Order::kNats;
  if (name == "naslib") return Nb201Order::kNaslib;
  return {};
}

Arch nb201_from_tuple(const Arch& tuple, Nb201Order order) {
  MIXOP_CHECK(tuple.size() == 6, "nb201: a tuple of ", tuple.size(), " numbers, six are needed");
  for (const int32_t n : tuple) MIXOP_CHECK(n >= 0 && n <= 4, "nb201: operation ", n, " in a tuple, not 0 to 4");
  return order == Nb201Order::kNats ? tuple : exchange(tuple);
}

Arch nb201_to_tuple(const Arch& arch, Nb201Order order) {
  return order == Nb201Order::kNats ? arch : exchange(arch);
}

}  // namespace mixop::nas
