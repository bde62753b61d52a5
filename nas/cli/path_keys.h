// The keys of searches by sampled paths.
#pragma once

#include <string>
#include <vector>

#include "nas/cli/config.h"

namespace mixop::cli {

/// Values in which the methods differ; each is that of its paper or code.
struct PathMethod {
  std::string name, help;
  enum class Selection : uint8_t { kRandom, kEvolution } selection = Selection::kRandom;
  bool path_dropout = false;  ///< trains on sums of candidates, some of them dropped, in place of single paths
  int epochs = 50, batch = 64;
  double lr = 0.025, lr_min = 0.001, weight_decay = 3e-4, clip = 5, label_smoothing = 0;
  std::string schedule = "cosine", statistics = "batch";
};

/// random-ws, spos and one-shot.
const std::vector<PathMethod>& path_methods();
std::vector<Key> path_keys(const PathMethod& method);

}  // namespace mixop::cli
