// mixop arch spaces, count, sample, and what parse, convert and draw do with --space.
#include <fmt/format.h>

#include <cmath>
#include <cstdio>
#include <memory>

#include "autograd/files.h"
#include "nas/cli/arch_command.h"
#include "nas/cli/arch_forms.h"
#include "nas/cli/model_options.h"
#include "nas/cli/usage.h"
#include "nas/json.h"
#include "nas/space/spaces.h"

namespace mixop::cli {
namespace {

void print(const std::string& text) { std::fwrite(text.data(), 1, text.size(), stdout); }

int list_spaces() {
  for (const std::string& name : nas::space_names())
    print(fmt::format("{:14} {}\n", name, nas::find_space(name)->describe()));
  return kOk;
}

struct Counting {
  std::string space;
  bool classes = false, as_json = false;

  int run() const {
    const auto s = nas::find_space(space);
    const double count = s->count();
    const bool exact = count <= 0x1p53;
    std::optional<int64_t> distinct;
    if (classes) {
      distinct = s->count_classes();
      MIXOP_CHECK(distinct, space, ": how many are different only an enumeration longer than a minute could tell");
    }
    if (as_json) {
      nas::Json json = {{"space", space}, {"architectures", count}};  // null: unbounded
      if (exact) json["architectures"] = static_cast<int64_t>(count);
      if (distinct) json["classes"] = *distinct;
      print(json.dump() + "\n");
      return kOk;
    }
    const std::string number = exact               ? grouped(static_cast<int64_t>(count))
                               : std::isinf(count) ? "unboundedly many"
                                                   : fmt::format("{:.5g}", count);
    print(number + " architectures\n");
    if (distinct) print(grouped(*distinct) + " classes\n");
    return kOk;
  }
};

struct Sampling {
  std::string space, form = "text";
  int64_t number = 1;
  uint64_t seed = 0;

  int run() const {
    const auto s = nas::find_space(space);
    nas::Random random(seed);
    for (int64_t i = 0; i < number; ++i) print(write_arch(*s, s->sample(random), form) + "\n");
    return kOk;
  }
};

CLI::App* with_space(CLI::App& arch, const std::string& name, const std::string& help, std::string& space) {
  CLI::App* command = arch.add_subcommand(name, help);
  command->add_option("--space", space, "The space, such as nb201 or nasnet:blocks=3 (see mixop arch spaces)")
      ->required();
  return command;
}

}  // namespace

void write_output(const std::string& file, const std::string& text) {
  if (file == "-") print(text);
  else autograd::write_file(file, text);
}

void SpaceFlags::add_to(CLI::App& command) {
  command.add_option("--space", space, "The search space (see mixop arch spaces); without: any DARTS genotype");
  command.add_option("--index-order", order, "nb201: what a bare tuple of numbers means")
      ->check(CLI::IsMember({"nats", "naslib"}));
}

int convert_in_space(const SpaceFlags& flags, const std::string& spec, const std::string& form) {
  const auto space = nas::find_space(flags.space);
  print(write_arch(*space, read_arch(*space, spec, flags.order), form) + "\n");
  return kOk;
}

nas::NetworkSize measure_in_space(const SpaceFlags& flags, const std::string& spec,
                                  const nas::NetworkScale& scale) {
  const auto space = nas::find_space(flags.space);
  return nas::measure_arch(*space, read_arch(*space, spec, flags.order), scale);
}

int draw_in_space(const SpaceFlags& flags, const std::string& spec, const std::string& dot_file) {
  const auto space = nas::find_space(flags.space);
  write_output(dot_file.empty() ? "-" : dot_file, space->draw_dot(read_arch(*space, spec, flags.order)));
  return kOk;
}

void add_space_commands(CLI::App& arch, Action& action) {
  arch.add_subcommand("spaces", "The search spaces")->callback([&action] { action = list_spaces; });

  auto counting = std::make_shared<Counting>();
  CLI::App* count = with_space(arch, "count", "How many architectures a space has", counting->space);
  count->add_flag("--classes", counting->classes, "And how many of them are different networks");
  count->add_flag("--json", counting->as_json, "Print JSON");
  count->callback([counting, &action] { action = [counting] { return counting->run(); }; });

  auto sampling = std::make_shared<Sampling>();
  CLI::App* sample = with_space(arch, "sample", "Draw architectures uniformly", sampling->space);
  sample->add_option("-n,--number", sampling->number, "How many (1)")->check(CLI::Range(1, 1000000000));
  sample->add_option("--seed", sampling->seed, "Seed (0)");
  sample->add_option("--to", sampling->form, "Form, as of convert (text)");
  sample->callback([sampling, &action] { action = [sampling] { return sampling->run(); }; });
}

}  // namespace mixop::cli
