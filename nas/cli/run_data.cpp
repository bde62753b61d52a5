#include "nas/cli/run_data.h"

#include <fmt/format.h>

#include "kernels/core/check.h"

namespace mixop::cli {

void fill_augment(Config& config) {
  const std::string& name = config.text("data.name");
  const bool colour = name.starts_with("cifar") || name.starts_with("folder");
  config.fill("data.crop", colour || name.starts_with("svhn"));
  config.fill("data.flip", colour);  // a mirrored digit is another digit
}

datasets::Augment training_augment(const Config& config, const datasets::Dataset& train) {
  datasets::Augment augment = datasets::normalisation_of(train);
  augment.crop = config.on("data.crop");
  augment.flip = config.on("data.flip");
  augment.cutout = static_cast<int>(config.integer("data.cutout"));
  return augment;
}

std::vector<int64_t> first_indices(int64_t n, int64_t limit, const std::string& key) {
  MIXOP_CHECK(limit <= n, key, " = ", limit, ", but the data has only ", n, " images");
  return datasets::all_indices(limit ? limit : n);
}

bool images_on_device(const Config& config) {
  return config.text("run.device") != "cpu" && config.on("data.on_device");
}

nas::ImageSource add_resident(nas::ResidentImages& resident, const std::string& part,
                              const datasets::Dataset& data) {
  resident.pixels.find_or_create(part, {data.size(), data.height, data.width, data.channels}, {});
  resident.tables.find_or_create(part, {data.channels, 256}, {});
  return {&resident, part};
}

void fill_resident(nas::ResidentImages& resident, const std::string& part, const datasets::Dataset& data,
                   const datasets::Augment& augment) {
  const std::vector<float> table = datasets::normalisation_table(augment, data.channels);
  std::copy(data.pixels.begin(), data.pixels.end(), resident.pixels.view(resident.pixels.find(part)).as<uint8_t>());
  std::copy(table.begin(), table.end(), resident.tables.view(resident.tables.find(part)).as<float>());
}

const datasets::Batch& next(datasets::Loader& loader, nas::Ledger& ledger) {
  nas::Stopwatch watch;
  const datasets::Batch& batch = loader.next();
  ledger.add(nas::Phase::kData, {.calls = 1, .images = batch.size, .seconds = watch.lap()});
  return batch;
}

std::vector<int64_t> batch_sizes(const datasets::Loader& loader) {
  const int64_t first = loader.batch_size_at(0), last = loader.batch_size_at(loader.batches_per_epoch() - 1);
  return first == last ? std::vector<int64_t>{first} : std::vector<int64_t>{first, last};
}

Json describe_part(const datasets::Dataset& data) {
  return {{"images", data.size()}, {"checksum", fmt::format("{:08x}", datasets::checksum(data))}};
}

}  // namespace mixop::cli
