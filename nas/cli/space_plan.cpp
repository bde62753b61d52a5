#include "nas/cli/space_plan.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>

#include "nas/cli/arch_forms.h"
#include "nas/cli/commands.h"
#include "nas/cli/usage.h"
#include "nas/search/enas_controller.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/sharing/nb201_mixed.h"
#include "nas/sharing/partial_channels.h"
#include "nas/sharing/path_plan.h"

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
  int64_t alphas = 0;      ///< architecture parameters; 0: there are none
  std::function<std::string(size_t)> part = [](size_t i) { return kernels::text("layers.", i); };  ///< by cell
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

/// The supernet of cells whose edges have all candidates at once.
SpaceNetwork mixed_network(const SpacePlanOptions& p, const ModelOptions& sizes) {
  if (!p.arch.empty() || p.final_network)
    throw UsageError("plan: --arch and --final are for ENAS; `mixop arch stats` counts an architecture of " +
                     p.space);
  SpaceNetwork net;
  std::shared_ptr<const nas::MixedSpace> space;
  if (p.space == "nb201") {
    nas::Nb201MixedOptions o;
    const int64_t channels = o.scale.channels;
    const int cells = o.scale.cells;
    o.scale = sizes.scale();
    o.scale.channels = sizes.channels.value_or(channels);
    o.scale.cells = sizes.cells.value_or(cells);
    net.image = o.scale;
    net.title = kernels::text("nb201, supernet: ", describe_sizes(o.scale), "; cells of each of three stages");
    net.part = [n = static_cast<size_t>(o.scale.cells)](size_t i) {
      return kernels::text("stages.", i / n, ".cells.", i % n);
    };
    space = nas::nb201_mixed_space(o);
  } else {
    nas::SupernetOptions o = sizes.supernet_options();
    if (p.space == "pc-darts") o.partial = 4;
    net.image = {o.channels, o.cells, o.classes, o.height, o.width, o.image_channels};
    net.title = kernels::text(p.space, ", supernet: ", describe_sizes(o));
    net.part = [](size_t i) { return kernels::text("cells.", i); };
    space = p.space == "pc-darts" ? nas::partial_channels_space(o) : nas::darts_mixed_space(o);
  }
  for (const nas::MixTable& table : space->tables())
    net.alphas += table.rows * static_cast<int64_t>(table.columns.size());
  net.build = [space](Graph& g, Value x, nas::Stores& stores, bool training) {
    return space->build(g, x, stores, nas::sampled_mixing(g, *space, nas::Candidates::kAll), training);
  };
  return net;
}

struct Row {
  std::string name, output;
  int64_t parameters = 0;
};

/// "layers.3" of "layers.3.node.1.first...", "stages.0.cells.4" of its parameters, "stem" of "stem.conv.w".
std::string part_of(const std::string& tensor) {
  for (const std::string word : {"layers.", "cells.", "reductions."})
    if (const size_t at = tensor.find(word); at != std::string::npos)
      return tensor.substr(0, tensor.find('.', at + word.size()));
  return tensor.substr(0, tensor.find('.'));
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
  std::map<std::string, Value> outputs = {{"stem", out.stem}, {"classifier", out.logits}};
  for (size_t i = 0; i < out.cells.size(); ++i) outputs[net.part(i)] = out.cells[i];
  if (out.auxiliary) outputs["auxiliary"] = out.auxiliary;
  std::vector<Row> rows;  // in the order in which their parameters come
  for (const auto& e : stores.weights.entries()) {
    const std::string part = part_of(e.name);
    auto row = std::find_if(rows.begin(), rows.end(), [&](const Row& r) { return r.name == part; });
    if (row == rows.end())
      row = rows.insert(rows.end(), {part, outputs.count(part) ? shape(outputs.at(part)) : ""});
    row->parameters += e.shape.elements();
  }
  return rows;
}

void print_text(const SpaceNetwork& net, const nas::NetworkSize& size, const std::vector<Row>& rows) {
  fmt::print("{}\nparameters  {}\n", net.title, grouped(size.parameters));
  if (size.auxiliary_parameters) fmt::print("auxiliary   {}\n", grouped(size.auxiliary_parameters));
  if (net.controller) fmt::print("controller  {}\n", grouped(net.controller));
  if (net.alphas) fmt::print("alphas      {}\n", grouped(net.alphas));
  if (net.one_arch)
    fmt::print("MACs        {:.2f} M  (one image; convolutions and linear layers)\n", size.macs / 1e6);
  fmt::print("\n{:<18} {:>14} {:>12}\n", "", "output", "parameters");
  for (const Row& row : rows) fmt::print("{:<18} {:>14} {:>12}\n", row.name, row.output, grouped(row.parameters));
}

void print_json(const SpaceNetwork& net, const nas::NetworkSize& size, const std::vector<Row>& rows) {
  Json layers = Json::array();
  for (const Row& row : rows)
    layers.push_back({{"name", row.name}, {"output", row.output}, {"parameters", row.parameters}});
  Json j = {{"title", net.title}, {"parameters", size.parameters}};
  if (size.auxiliary_parameters) j["auxiliary_parameters"] = size.auxiliary_parameters;
  if (net.controller) j["controller_parameters"] = net.controller;
  if (net.alphas) j["alphas"] = net.alphas;
  if (net.one_arch) j["macs"] = size.macs;
  j["layers"] = layers;
  fmt::print("{}\n", j.dump());
}

}  // namespace

void SpacePlanOptions::add_to(CLI::App& command) {
  command
      .add_option("--space", space,
                  "A space of shared weights in place of a genotype: enas-micro, enas-macro, "
                  "darts, pc-darts (partial channels), nb201")
      ->check(CLI::IsMember({"enas-micro", "enas-macro", "darts", "pc-darts", "nb201"}));
  command.add_option("--arch", arch, "One architecture of the space: its text, @file or 'published'");
  command.add_flag("--final", final_network, "The network that --arch is trained in from scratch");
}

int plan_in_space(const SpacePlanOptions& p, const ModelOptions& sizes, bool json) {
  if (!sizes.spec.empty())
    throw UsageError("plan: '" + sizes.spec + "' and --space " + p.space + " name two networks; give one of them");
  if (p.final_network && p.arch.empty() && p.space.rfind("enas", 0) == 0)
    throw UsageError("plan: --final needs --arch, such as --arch published");
  const SpaceNetwork net = p.space == "enas-micro"   ? micro_network(p, sizes)
                           : p.space == "enas-macro" ? macro_network(p, sizes)
                                                     : mixed_network(p, sizes);
  const nas::NetworkSize size =
      nas::measure_network(net.build, net.image.height, net.image.width, net.image.image_channels);
  const std::vector<Row> rows = count_by_layer(net);
  if (json) print_json(net, size, rows);
  else print_text(net, size, rows);
  return kOk;
}

}  // namespace mixop::cli
