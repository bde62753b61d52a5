#include "nas/cli/space_plan.h"

#include <fmt/format.h>

#include <cstdio>
#include <nlohmann/json.hpp>

#include "nas/cli/arch_forms.h"
#include "nas/cli/commands.h"
#include "nas/cli/usage.h"
#include "nas/search/enas_controller.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"

namespace mixop::cli {
namespace {

using Json = nlohmann::ordered_json;
using autograd::Graph;
using autograd::Value;

/// One network of a space, ready to be added to a graph.
struct SpaceNetwork {
  std::string title;
  nas::NetworkBuilder build;
  nas::NetworkScale image;
  bool one_arch = false;   ///< else the multiply-adds are those of all candidates
  int64_t controller = 0;  ///< parameters of what draws the architectures of a search; 0: nothing does
};

template <class Options>
void take_sizes(Options& o, const ModelOptions& sizes, nas::NetworkScale& image) {
  if (sizes.auxiliary || sizes.imagenet)
    throw UsageError("--auxiliary and --imagenet are for genotypes, not for --space");
  image = sizes.scale();
  o.channels = sizes.channels.value_or(o.channels);
  o.layers = sizes.cells.value_or(o.layers);
  o.classes = image.classes;
  o.height = image.height;
  o.width = image.width;
  o.image_channels = image.image_channels;
}

int64_t controller_parameters(const nas::EnasControllerOptions& options) {
  return nas::EnasController(options, 0).parameters().elements();
}

nas::Arch read(const nas::Space& space, const std::string& text, const char* published) {
  return read_arch(space, text == "published" ? published : text, "");
}

const char* kind_of(const SpacePlanOptions& p) {
  return p.final_network ? "final network" : p.arch.empty() ? "search child" : "search child, one architecture";
}

template <class Options>
std::string describe(const SpacePlanOptions& p, const Options& o, const char* more_layers) {
  return kernels::text(p.space, ", ", kind_of(p), ": C=", o.channels, ", ", o.layers, more_layers, " layers, ",
                       o.height, "x", o.width, "x", o.image_channels, ", ", o.classes, " classes");
}

SpaceNetwork micro_network(const SpacePlanOptions& p, const ModelOptions& sizes) {
  auto o = p.final_network ? nas::EnasMicroOptions::final_network() : nas::EnasMicroOptions();
  SpaceNetwork net;
  take_sizes(o, sizes, net.image);
  net.title = describe(p, o, "+2");
  if (p.arch.empty()) {
    net.build = [o](Graph& g, Value x, nas::Stores& stores, bool training) {
      return nas::build_enas_micro_child(g, x, stores, o, training);
    };
    net.controller = controller_parameters({});
    return net;
  }
  net.one_arch = true;
  const auto build = p.final_network
                         ? nas::build_enas_micro_network
                         : static_cast<decltype(&nas::build_enas_micro_network)>(nas::build_enas_micro_child);
  net.build = [o, build, arch = read(nas::EnasMicroSpace(), p.arch, nas::EnasMicroSpace::kPublished)](
                  Graph& g, Value x, nas::Stores& stores, bool training) {
    return build(g, x, stores, o, arch, training);
  };
  return net;
}

SpaceNetwork macro_network(const SpacePlanOptions& p, const ModelOptions& sizes) {
  auto o = p.final_network ? nas::EnasMacroOptions::final_network() : nas::EnasMacroOptions();
  SpaceNetwork net;
  take_sizes(o, sizes, net.image);
  net.title = describe(p, o, "");
  if (p.arch.empty()) {
    net.build = [o](Graph& g, Value x, nas::Stores& stores, bool training) {
      return nas::build_enas_macro_child(g, x, stores, o, training);
    };
    net.controller = controller_parameters(nas::EnasControllerOptions::macro());
    return net;
  }
  net.one_arch = true;
  const auto build = p.final_network
                         ? nas::build_enas_macro_network
                         : static_cast<decltype(&nas::build_enas_macro_network)>(nas::build_enas_macro_child);
  net.build = [o, build, arch = read(nas::EnasMacroSpace(o.layers), p.arch, nas::EnasMacroSpace::kPublished)](
                  Graph& g, Value x, nas::Stores& stores, bool training) {
    return build(g, x, stores, o, arch, training);
  };
  return net;
}

struct Row {
  std::string name, output;
  int64_t parameters = 0;
};

/// "layers.3" of "layers.3.node.1.first...", "stem" of "stem.conv.w".
std::string part_of(const std::string& tensor) {
  const size_t dot = tensor.find('.');
  return tensor.substr(0, tensor.rfind("layers.", 0) == 0 ? tensor.find('.', dot + 1) : dot);
}

std::vector<Row> count_by_layer(const SpaceNetwork& net) {
  nas::Stores stores(kernels::DType::kF32, 0);
  Graph g;
  const Value images = g.input("images", {1, net.image.height, net.image.width, net.image.image_channels});
  const nas::NetworkOutputs out = net.build(g, images, stores, true);
  const auto shape = [&](Value v) {
    const kernels::Shape& s = g.shape(v);
    return s.rank() == 4 ? kernels::text(s[1], 'x', s[2], 'x', s[3]) : kernels::text(s[1]);
  };
  std::vector<Row> rows = {{"stem", shape(out.stem)}};
  for (size_t l = 0; l < out.cells.size(); ++l) rows.push_back({kernels::text("layers.", l), shape(out.cells[l])});
  rows.push_back({"classifier", shape(out.logits)});
  if (out.auxiliary) rows.push_back({"auxiliary", shape(out.auxiliary)});
  for (const auto& e : stores.weights.entries())
    for (Row& row : rows)
      if (row.name == part_of(e.name)) row.parameters += e.shape.elements();
  return rows;
}

void print_text(const SpaceNetwork& net, const nas::NetworkSize& size, const std::vector<Row>& rows) {
  fmt::print("{}\nparameters  {}\n", net.title, grouped(size.parameters));
  if (size.auxiliary_parameters) fmt::print("auxiliary   {}\n", grouped(size.auxiliary_parameters));
  if (net.controller) fmt::print("controller  {}\n", grouped(net.controller));
  if (net.one_arch)
    fmt::print("MACs        {:.2f} M  (one image; convolutions and linear layers)\n", size.macs / 1e6);
  fmt::print("\n{:<12} {:>14} {:>12}\n", "", "output", "parameters");
  for (const Row& row : rows) fmt::print("{:<12} {:>14} {:>12}\n", row.name, row.output, grouped(row.parameters));
}

void print_json(const SpaceNetwork& net, const nas::NetworkSize& size, const std::vector<Row>& rows) {
  Json layers = Json::array();
  for (const Row& row : rows)
    layers.push_back({{"name", row.name}, {"output", row.output}, {"parameters", row.parameters}});
  Json j = {{"title", net.title}, {"parameters", size.parameters}};
  if (size.auxiliary_parameters) j["auxiliary_parameters"] = size.auxiliary_parameters;
  if (net.controller) j["controller_parameters"] = net.controller;
  if (net.one_arch) j["macs"] = size.macs;
  j["layers"] = layers;
  fmt::print("{}\n", j.dump());
}

}  // namespace

void SpacePlanOptions::add_to(CLI::App& command) {
  command.add_option("--space", space, "A space of shared weights in place of a genotype: enas-micro, enas-macro")
      ->check(CLI::IsMember({"enas-micro", "enas-macro"}));
  command.add_option("--arch", arch, "One architecture of the space: its text, @file or 'published'");
  command.add_flag("--final", final_network, "The network that --arch is trained in from scratch");
}

int plan_in_space(const SpacePlanOptions& p, const ModelOptions& sizes, bool json) {
  if (!sizes.spec.empty())
    throw UsageError("plan: '" + sizes.spec + "' and --space " + p.space + " name two networks; give one of them");
  if (p.final_network && p.arch.empty()) throw UsageError("plan: --final needs --arch, such as --arch published");
  const SpaceNetwork net = p.space == "enas-micro" ? micro_network(p, sizes) : macro_network(p, sizes);
  const nas::NetworkSize size =
      nas::measure_network(net.build, net.image.height, net.image.width, net.image.image_channels);
  const std::vector<Row> rows = count_by_layer(net);
  if (json) print_json(net, size, rows);
  else print_text(net, size, rows);
  return kOk;
}

}  // namespace mixop::cli
