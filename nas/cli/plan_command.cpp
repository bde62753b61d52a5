// mixop plan: what a network costs in memory and arithmetic, node by node, before anything runs.
#include <fmt/format.h>

#include <algorithm>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>

#include "nas/cli/commands.h"
#include "nas/cli/model_plans.h"
#include "nas/cli/space_plan.h"
#include "nas/cli/usage.h"

namespace mixop::cli {
namespace {

using autograd::Plan;
using Json = nlohmann::ordered_json;

struct Options {
  PlanOptions plans;
  SpacePlanOptions space;
  bool all_nodes = false, json = false;
};

double mib(size_t bytes) { return static_cast<double>(bytes) / (1 << 20); }

struct Class {
  const char* name;
  size_t autograd::MemoryReport::*bytes;
};
constexpr Class kClasses[] = {
    {"param", &autograd::MemoryReport::param},         {"state", &autograd::MemoryReport::state},
    {"input", &autograd::MemoryReport::input},         {"saved", &autograd::MemoryReport::saved},
    {"scratch", &autograd::MemoryReport::scratch},     {"output", &autograd::MemoryReport::output},
    {"workspace", &autograd::MemoryReport::workspace}, {"arena", &autograd::MemoryReport::arena}};

template <class Member>
double total(const std::vector<Plan::StepInfo>& steps, Member member) {
  double sum = 0;
  for (const auto& s : steps) sum += static_cast<double>(s.*member);
  return sum;
}

void print_nodes(const std::vector<Plan::StepInfo>& steps) {
  fmt::print("  {:<18} {:<18} {:>9} {:>10}  {:<20} {}\n", "op", "implementation", "MiB", "MFLOP", "output", "name");
  for (const auto& s : steps)
    fmt::print("  {:<18} {:<18} {:>9.3f} {:>10.3f}  {:<20} {}{}\n", s.op, s.impl, mib(s.bytes), s.flops / 1e6,
               s.shape, s.name, s.backward ? " (backward)" : "");
}

constexpr size_t kShown = 15;

template <class Member>
void print_largest(std::vector<Plan::StepInfo> steps, Member member, const char* title) {
  std::stable_sort(steps.begin(), steps.end(), [&](const auto& a, const auto& b) { return a.*member > b.*member; });
  if (steps.size() > kShown) steps.resize(kShown);
  fmt::print("  {}\n", title);
  print_nodes(steps);
}

void print_text(const ModelPlans& c, bool all_nodes) {
  fmt::print("{}, batch {}\nparameters {}, {:.2f} M multiply-adds an image, arena of all plans {:.1f} MiB\n\n",
             c.title, c.batch, grouped(c.size.parameters), c.size.macs / 1e6, mib(c.arena));
  fmt::print("{:<20} {:>6} {:>9}", "plan", "nodes", "GFLOP");
  for (const Class& k : kClasses) fmt::print(" {:>9}", k.name);
  fmt::print("  (MiB)\n");
  for (const auto& [name, plan] : c.plans) {
    const auto steps = plan->steps();
    fmt::print("{:<20} {:>6} {:>9.3f}", name, steps.size(), total(steps, &Plan::StepInfo::flops) / 1e9);
    for (const Class& k : kClasses) fmt::print(" {:>9.2f}", mib(plan->memory().*k.bytes));
    fmt::print("\n");
  }
  fmt::print("saved (forward to backward) and scratch share the arena, their sums are before that\n");
  for (const auto& [name, plan] : c.plans) {
    const auto steps = plan->steps();
    fmt::print("\n{}\n", name);
    if (all_nodes) {
      print_nodes(steps);
    } else {
      print_largest(steps, &Plan::StepInfo::bytes, "largest outputs:");
      print_largest(steps, &Plan::StepInfo::flops, "most arithmetic:");
    }
  }
}

void print_json(const ModelPlans& c) {
  Json plans = Json::array();
  for (const auto& [name, plan] : c.plans) {
    Json memory, nodes = Json::array();
    for (const Class& k : kClasses) memory[k.name] = plan->memory().*k.bytes;
    for (const auto& s : plan->steps())
      nodes.push_back({{"op", s.op},
                       {"impl", s.impl},
                       {"name", s.name},
                       {"shape", s.shape},
                       {"bytes", s.bytes},
                       {"flops", s.flops},
                       {"macs", s.macs},
                       {"backward", s.backward}});
    plans.push_back({{"name", name}, {"memory", memory}, {"nodes", nodes}});
  }
  const Json j = {{"title", c.title},    {"batch", c.batch},       {"parameters", c.size.parameters},
                  {"macs", c.size.macs}, {"arena_bytes", c.arena}, {"plans", plans}};
  fmt::print("{}\n", j.dump());
}

int run(const Options& o) {
  if (!o.space.space.empty()) return plan_in_space(o.space, o.plans.model, o.json);
  if (!o.space.arch.empty() || o.space.final_network) throw UsageError("plan: --arch and --final are for --space");
  if (o.plans.model.spec.empty()) throw UsageError("plan: name a genotype, 'supernet' or a --space");
  const ModelPlans c = compile_plans(o.plans);
  if (o.json) print_json(c);
  else print_text(c, o.all_nodes);
  return kOk;
}

}  // namespace

void add_plan(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command =
      app.add_subcommand("plan", "Memory and arithmetic of a network's steps, without running them");
  options->plans.add_to(*command);
  command->get_option("spec")->required(false);
  options->space.add_to(*command);
  command->add_flag("--all-nodes", options->all_nodes,
                    "Every node in the order of execution, not only the largest");
  command->add_flag("--json", options->json, "Print JSON");
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace mixop::cli
