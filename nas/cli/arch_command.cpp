// mixop arch: architectures as text, numbers and pictures; here DARTS genotypes, in arch_spaces.cpp any space.
#include <fmt/format.h>

#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "nas/cli/arch_command.h"
#include "nas/cli/model_options.h"
#include "nas/cli/usage.h"
#include "nas/draw.h"
#include "nas/genotypes_published.h"

namespace mixop::cli {
namespace {

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

std::string name_of(const nas::Genotype& g) { return g.name.empty() ? "genotype" : g.name; }

int list() {
  for (const nas::Genotype& g : nas::published_genotypes()) print(g.name + "\n");
  return kOk;
}

int parse(const SpaceFlags& flags, const std::string& spec) {
  if (!flags.space.empty()) return convert_in_space(flags, spec, "text");
  const nas::Genotype g = nas::load_genotype(spec);
  print((g.name.empty() ? "" : g.name + " = ") + nas::format_genotype(g) + "\n");
  return kOk;
}

int convert(const SpaceFlags& flags, const std::string& spec, const std::string& form) {
  if (!flags.space.empty()) return convert_in_space(flags, spec, form.empty() ? "text" : form);
  if (!form.empty() && form != "darts" && form != "json")
    throw UsageError("convert: --to " + form +
                     ": a genotype has the forms darts and json; other spaces need --space");
  const nas::Genotype g = nas::load_genotype(spec);
  print((form == "json" ? nas::format_json(g) : nas::format_genotype(g)) + "\n");
  return kOk;
}

int stats(const SpaceFlags& flags, const ModelOptions& model, bool as_json) {
  nas::NetworkSize size;
  std::string name, sizes;
  if (!flags.space.empty()) {
    size = measure_in_space(flags, model.spec, model.scale());
    name = flags.space;
    sizes = describe_sizes(model.scale());
  } else if (model.supernet()) {
    const nas::SupernetOptions o = model.supernet_options();
    size = nas::measure_supernet(o);
    name = "supernet";
    sizes = describe_sizes(o);
  } else {
    const nas::NetworkOptions o = model.network_options();
    size = nas::measure_network(o);
    name = name_of(o.genotype);
    sizes = describe_sizes(o);
  }
  if (as_json) {
    nlohmann::ordered_json j = {{"name", name}, {"sizes", sizes}, {"parameters", size.parameters}};
    if (model.auxiliary) j["auxiliary_parameters"] = size.auxiliary_parameters;
    j["macs"] = static_cast<int64_t>(size.macs);
    print(j.dump() + "\n");
    return kOk;
  }
  print(fmt::format("{} ({})\nparameters  {}\n", name, sizes, grouped(size.parameters)));
  if (model.auxiliary) print(fmt::format("auxiliary   {}\n", grouped(size.auxiliary_parameters)));
  print(fmt::format("MACs        {:.2f} M  (one image; convolutions and linear layers)\n", size.macs / 1e6));
  return kOk;
}

struct Drawing {
  SpaceFlags flags;
  std::string spec, svg, dot, cell = "both";

  int run() const {
    if (!flags.space.empty() && flags.space != "darts") {
      if (!svg.empty() || cell != "both")
        throw UsageError("draw: --svg and --cell are for DARTS genotypes; of " + flags.space + " there is --dot");
      return draw_in_space(flags, spec, dot);
    }
    const nas::Genotype g = nas::load_genotype(spec);
    std::vector<nas::CellKind> kinds;
    if (cell != "reduce") kinds.push_back(nas::CellKind::normal);
    if (cell != "normal") kinds.push_back(nas::CellKind::reduce);
    if (!dot.empty()) {
      std::string text;
      for (const nas::CellKind kind : kinds) text += nas::draw_dot(g, kind);
      write_output(dot, text);
    }
    if (!svg.empty() || dot.empty())
      write_output(svg.empty() ? "-" : svg, kinds.size() == 2
                                                ? nas::draw_svg_both(g)
                                                : nas::draw_svg(g.cell(kinds[0]), name_of(g) + ", " + cell));
    return kOk;
  }
};

CLI::App* with_spec(CLI::App& arch, const std::string& name, const std::string& help, std::string& spec) {
  CLI::App* command = arch.add_subcommand(name, help);
  command->add_option("spec", spec, "Name, text or @file of an architecture")->required();
  return command;
}

}  // namespace

void add_arch(CLI::App& app, Action& action) {
  CLI::App* arch = app.add_subcommand("arch", "Architectures: check, count, convert, draw");
  arch->require_subcommand(1);

  arch->add_subcommand("list", "Names of the published genotypes")->callback([&action] { action = list; });

  auto flags = std::make_shared<SpaceFlags>();
  auto spec = std::make_shared<std::string>(), form = std::make_shared<std::string>();
  CLI::App* check = with_spec(*arch, "parse", "Check an architecture and print it in full", *spec);
  flags->add_to(*check);
  check->callback([flags, spec, &action] { action = [flags, spec] { return parse(*flags, *spec); }; });

  CLI::App* to = with_spec(*arch, "convert", "Print an architecture in another form", *spec);
  flags->add_to(*to);
  to->add_option("--to", *form,
                 "text, numbers; darts: darts, json; nb201: digits, nats, naslib; nb101: pruned, json, hash");
  to->callback(
      [flags, spec, form, &action] { action = [flags, spec, form] { return convert(*flags, *spec, *form); }; });

  add_space_commands(*arch, action);

  auto model = std::make_shared<ModelOptions>();
  auto as_json = std::make_shared<bool>(false);
  CLI::App* sizes = arch->add_subcommand("stats", "Parameters and multiply-adds of the network of an architecture");
  model->add_to(*sizes);
  flags->add_to(*sizes);
  sizes->add_flag("--json", *as_json, "Print JSON");
  sizes->callback([flags, model, as_json, &action] {
    action = [flags, model, as_json] { return stats(*flags, *model, *as_json); };
  });

  auto drawing = std::make_shared<Drawing>();
  CLI::App* draw =
      with_spec(*arch, "draw", "Draw the cells (default: SVG of both on standard output)", drawing->spec);
  drawing->flags.add_to(*draw);
  draw->add_option("--svg", drawing->svg, "Write an SVG picture to this file ('-': standard output)");
  draw->add_option("--dot", drawing->dot, "Write graphviz source to this file ('-': standard output)");
  draw->add_option("--cell", drawing->cell, "normal, reduce or both")
      ->check(CLI::IsMember({"normal", "reduce", "both"}));
  draw->callback([drawing, &action] { action = [drawing] { return drawing->run(); }; });
}

}  // namespace mixop::cli
