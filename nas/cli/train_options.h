// What the configuration of a training says: the network, how it is trained and what happens to its images.
#pragma once

#include "datasets/augment.h"
#include "nas/cli/config.h"
#include "nas/train.h"

namespace mixop::cli {

/// The space whose architectures are cells by name, text or file; the others are those of nas/space/spaces.h.
constexpr char kCells[] = "darts";

/// The text of an architecture, as a run keeps it: a name or a file may mean another one later. `@` reads a file,
/// or the directory of a run. Throws mixop::Error, and UsageError where there is nothing of that kind.
std::string read_arch(const std::string& space, const std::string& spec);

/// Of the images that the network sees. ScheduledDropPath needs `steps_per_epoch` of the training; elsewhere 1
/// does. Throws UsageError for options that the space has not, and mixop::Error when the network cannot be built.
nas::TrainOptions train_options(const Config& config, const datasets::Dataset& data, int64_t steps_per_epoch);
nas::NetworkSize measure(const nas::TrainOptions& options);

/// What training and test images go through, normalised by the mean and standard deviation of `train`. Sets
/// data.crop and data.flip unless given.
struct Augments {
  datasets::Augment training, test;
};
Augments augments(Config& config, const datasets::Dataset& train);
/// The part of it that makes images of the network's size, of a test: without normalisation.
datasets::Augment test_size(const Config& config);

}  // namespace mixop::cli
