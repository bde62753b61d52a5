// The published tables of NAS-Bench-201 (Dong and Yang 2020) and NATS-Bench's topology space (Dong et al. 2021):
// who searched how, and what came out.
#pragma once

#include <array>

#include "nas/table/comparison.h"

namespace mixop::nas {

struct PublishedRow {
  std::string method;             ///< as the papers print it
  std::string strategy;           ///< as parse_strategy() reads it
  std::array<Figure, 6> figures;  ///< CIFAR-10, CIFAR-100, ImageNet16-120: validation and test accuracy in per cent
  std::string note{};
};

struct PublishedProtocol {
  std::string name, title;
  std::vector<TableSearch> searches;
  /// One search that reports all data sets, or one search for each that reports its own.
  bool reports_own_dataset;
  std::vector<PublishedRow> rows;
};

/// "nasbench201": one search on CIFAR-10 within 12,000 s. "nats": a search for each data set, until 20,000, 40,000
/// and 120,000 s are passed. Both see the 12-epoch validation accuracy and report the 200-epoch ones. Throws
/// mixop::Error for any other name.
const PublishedProtocol& find_published_protocol(const std::string& name);

/// The searches and the reported columns of a protocol on a table of NAS-Bench-201.
std::vector<ComparedSearch> compared_searches(const Table& table, const PublishedProtocol& protocol);

}  // namespace mixop::nas
