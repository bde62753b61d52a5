#include "nas/cli/shared_space.h"

#include "nas/sharing/nb201_mixed.h"
#include "nas/space/darts_space.h"
#include "nas/space/nb201.h"

namespace mixop::cli {
namespace {

nas::NetworkScale scale_of(const Config& config, const datasets::Dataset& data) {
  return {.channels = config.integer("search.channels"),
          .cells = static_cast<int>(config.integer("search.cells")),
          .classes = data.classes,
          .height = data.height,
          .width = data.width,
          .image_channels = data.channels};
}

}  // namespace

std::vector<Key> shared_space_keys() {
  return {bool_key("search.affine", "--affine", false, "nb201: candidates' batch norms have scale and shift"),
          bool_key("search.track", "--track", true, "nb201: candidates' batch norms keep running statistics")};
}

bool is_nb201(const Config& config) { return config.text("search.space") == "nb201"; }

void fill_shared_space(Config& config, int64_t darts_cells) {
  config.fill("search.cells", is_nb201(config) ? int64_t{5} : darts_cells);
}

std::unique_ptr<nas::MixedSpace> make_shared_space(const Config& config, const datasets::Dataset& data) {
  const nas::NetworkScale scale = scale_of(config, data);
  if (is_nb201(config))
    return nas::nb201_mixed_space(
        {.scale = scale, .affine = config.on("search.affine"), .track = config.on("search.track")});
  return nas::darts_mixed_space({.channels = scale.channels,
                                 .classes = scale.classes,
                                 .cells = scale.cells,
                                 .height = scale.height,
                                 .width = scale.width,
                                 .image_channels = scale.image_channels,
                                 .lowering = nas::Lowering::kReference});
}

nas::NetworkBuilder standalone_network(const Config& config, const datasets::Dataset& data, const nas::Arch& arch) {
  const nas::NetworkScale scale = scale_of(config, data);
  if (is_nb201(config)) {
    return [=](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
      return nas::Nb201Space().build(g, images, stores, arch, scale, training);
    };
  }
  const nas::NetworkOptions options{.genotype = nas::darts_genotype(arch),
                                    .channels = scale.channels,
                                    .classes = scale.classes,
                                    .cells = scale.cells,
                                    .height = scale.height,
                                    .width = scale.width,
                                    .image_channels = scale.image_channels};
  return [=](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
    return nas::build_network(g, images, stores, options, training);
  };
}

}  // namespace mixop::cli
