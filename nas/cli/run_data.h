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

inline nas::Batch view(const datasets::Batch& b) {
  return {.images = b.images.data(), .labels = b.labels.data(), .size = b.size, .draws = b.draws.data()};
}

/// Whether the images go to the device once, as bytes, and batches are draws: on a GPU unless refused.
bool images_on_device(const Config& config);
inline datasets::Content content(bool resident) {
  return resident ? datasets::Content::kDraws : datasets::Content::kImages;
}
/// Makes room for the images and the normalised values of a part; once all parts are there and the plans are
/// compiled, fill_resident() puts them in.
nas::ImageSource add_resident(nas::ResidentImages& resident, const std::string& part,
                              const datasets::Dataset& data);
void fill_resident(nas::ResidentImages& resident, const std::string& part, const datasets::Dataset& data,
                   const datasets::Augment& augment);
/// The next batch; waiting for it is booked as data.
const datasets::Batch& next(datasets::Loader& loader, nas::Ledger& ledger);
/// Every batch size that the loader will give.
std::vector<int64_t> batch_sizes(const datasets::Loader& loader);

/// {"images": .., "checksum": ..}
Json describe_part(const datasets::Dataset& data);

}  // namespace mixop::cli
