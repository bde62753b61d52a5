// The spaces of shared weights as a configuration names them.
#pragma once

#include "datasets/dataset.h"
#include "nas/cli/config.h"
#include "nas/network.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::cli {

/// --affine and --track, of nb201.
std::vector<Key> shared_space_keys();
/// Sets search.cells, unless given: 5 in a stage of nb201, else `darts_cells`.
void fill_shared_space(Config& config, int64_t darts_cells = 8);
bool is_nb201(const Config& config);
/// The supernet of search.space for images of that data. Throws mixop::Error for sizes that are impossible.
std::unique_ptr<nas::MixedSpace> make_shared_space(const Config& config, const datasets::Dataset& data);
/// The network of one of its architectures alone, with the supernet's cells and channels.
nas::NetworkBuilder standalone_network(const Config& config, const datasets::Dataset& data, const nas::Arch& arch);

}  // namespace mixop::cli
