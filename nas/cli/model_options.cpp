#include "nas/cli/model_options.h"

#include <array>
#include <regex>

#include "nas/cli/usage.h"
#include "nas/genotypes_published.h"

namespace mixop::cli {
namespace {

std::array<int64_t, 3> parse_image(const std::string& text) {
  static const std::regex kForm("([0-9]{1,5})x([0-9]{1,5})x([0-9]{1,5})");
  std::smatch match;
  if (!std::regex_match(text, match, kForm))
    throw UsageError("--image '" + text + "': expected HxWxC, such as 32x32x3");
  return {std::stoll(match[1]), std::stoll(match[2]), std::stoll(match[3])};
}

}  // namespace

void ModelOptions::add_to(CLI::App& command) {
  command.add_option("spec", spec, "Name, text or @file of a genotype, or 'supernet'")->required();
  command.add_option("--channels,--init-channels", channels, "Channels of the first cells (16; 36; ImageNet 48)")
      ->check(CLI::Range(1, 65536));
  command.add_option("--layers,--cells", cells, "Cells (8; 20; ImageNet 14)")->check(CLI::Range(1, 1000));
  command.add_option("--image", image, "Images, HxWxC (32x32x3; ImageNet 224x224x3)");
  command.add_option("--classes", classes, "Classes (10; ImageNet 1000)")->check(CLI::Range(2, 1000000));
  command.add_option("--nodes", nodes, "Nodes of a cell of the supernet")->check(CLI::Range(1, 16));
  command.add_flag("--auxiliary", auxiliary, "With the auxiliary head (derived networks)");
  command.add_flag("--imagenet", imagenet, "The ImageNet form: stem of three strided convolutions, its sizes");
}

nas::SupernetOptions ModelOptions::supernet_options() const {
  if (auxiliary || imagenet)
    throw UsageError("--auxiliary and --imagenet are for derived networks, not the supernet");
  nas::SupernetOptions o;
  o.channels = channels.value_or(o.channels);
  o.cells = cells.value_or(o.cells);
  o.nodes = o.multiplier = nodes;
  o.classes = classes.value_or(o.classes);
  std::tie(o.height, o.width, o.image_channels) = std::tuple_cat(parse_image(image.value_or("32x32x3")));
  return o;
}

nas::NetworkOptions ModelOptions::network_options() const {
  nas::NetworkOptions o;
  o.genotype = nas::load_genotype(spec);
  o.channels = channels.value_or(imagenet ? 48 : 36);
  o.cells = cells.value_or(imagenet ? 14 : 20);
  o.classes = classes.value_or(imagenet ? 1000 : 10);
  std::tie(o.height, o.width, o.image_channels) =
      std::tuple_cat(parse_image(image.value_or(imagenet ? "224x224x3" : "32x32x3")));
  o.auxiliary = auxiliary;
  o.imagenet_stem = imagenet;
  return o;
}

nas::NetworkScale ModelOptions::scale() const {
  if (auxiliary || imagenet) throw UsageError("--auxiliary and --imagenet are for genotypes, not for --space");
  nas::NetworkScale o;
  o.channels = channels.value_or(o.channels);
  o.cells = cells.value_or(o.cells);
  o.classes = classes.value_or(o.classes);
  std::tie(o.height, o.width, o.image_channels) = std::tuple_cat(parse_image(image.value_or("32x32x3")));
  return o;
}

std::string grouped(int64_t n) {
  std::string s = std::to_string(n);
  for (auto at = static_cast<std::ptrdiff_t>(s.size()) - 3; at > (n < 0 ? 1 : 0); at -= 3)
    s.insert(static_cast<size_t>(at), ",");
  return s;
}

}  // namespace mixop::cli
