// What search and train share about their data: options, limits and batches.
#pragma once

#include <string>
#include <vector>

#include "datasets/loader.h"
#include "datasets/open.h"
#include "nas/batch.h"
#include "nas/cli/config.h"
#include "nas/ledger.h"

namespace mixop::cli {

/// Sets data.crop and data.flip, unless given, as is usual for that data set.
void fill_augment(Config& config);
/// What training images go through, with the mean and standard deviation of `train`.
datasets::Augment training_augment(const Config& config, const datasets::Dataset& train);

/// The first `limit` (0: all) of n indices; throws mixop::Error naming the key when there are fewer.
std::vector<int64_t> first_indices(int64_t n, int64_t limit, const std::string& key);

inline nas::Batch view(const datasets::Batch& b) { return {b.images.data(), b.labels.data(), b.size}; }
/// The next batch; waiting for it is booked as data.
const datasets::Batch& next(datasets::Loader& loader, nas::Ledger& ledger);
/// Every batch size that the loader will give.
std::vector<int64_t> batch_sizes(const datasets::Loader& loader);

/// {"images": .., "checksum": ..}
Json describe_part(const datasets::Dataset& data);

}  // namespace mixop::cli
