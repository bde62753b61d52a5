// mixop tune: measures the implementations of a network's calls and writes a file for --tuning.
#include <fmt/format.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>
#include <memory>

#include "autograd/files.h"
#include "autograd/tuning.h"
#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/machine.h"
#include "nas/cli/model_plans.h"
#include "nas/cli/progress.h"
#include "nas/cli/version.h"

namespace mixop::cli {
namespace {

using autograd::Candidate;
using autograd::TunedCall;

struct Options {
  PlanOptions plans;
  std::string out;
};

/// How far the measuring is, on stderr: one line rewritten on a terminal, else a line every few seconds.
class TuneProgress {
 public:
  void show(size_t done, size_t all) {
    const bool last = done == all;
    if (!terminal_ && !last && clock_.elapsed() < shown_ + kInterval) return;
    shown_ = clock_.elapsed();
    // Calls take similar times but for a few large ones, so this is a rough guess.
    const double left = shown_ / static_cast<double>(done) * static_cast<double>(all - done);
    fmt::print(stderr, "{}{} of {} calls measured, {}{}", terminal_ ? "\r\033[K" : "", done, all,
               last ? format_duration(shown_) : "about " + format_duration(left) + " left",
               terminal_ && !last ? "" : "\n");
    std::fflush(stderr);
  }

 private:
  static constexpr double kInterval = 5;  // seconds
  const bool terminal_ = isatty(2) == 1;
  nas::Stopwatch clock_;
  double shown_ = 0;
};

void print_call(const TunedCall& call) {
  fmt::print("{}  ({} in all plans)\n", call.key, call.uses);
  const double best = call.candidates[call.best].seconds;
  for (size_t i = 0; i < call.candidates.size(); ++i) {
    const Candidate& c = call.candidates[i];
    std::string marks = i == call.fixed ? "fixed" : "";
    if (i == call.best) marks += marks.empty() ? "taken" : ", taken";
    if (!c.failure.empty()) fmt::print("  {:<16} fails: {}\n", c.impl, c.failure);
    else
      fmt::print("  {:<16} {:>12.2f} us  +-{:>8.2f} {:>8.2f}x  {}\n", c.impl, c.seconds * 1e6, c.spread / 2 * 1e6,
                 c.seconds / best, marks);
  }
}

void print_summary(const std::vector<TunedCall>& calls) {
  double fixed = 0, tuned = 0;
  int changed = 0;
  for (const TunedCall& call : calls) {
    fixed += call.uses * call.candidates[call.fixed].seconds;
    tuned += call.uses * call.candidates[call.best].seconds;
    changed += call.best != call.fixed;
  }
  fmt::print("{} kinds of calls with more than one implementation; {} differ from the fixed choice\n", calls.size(),
             changed);
  fmt::print("one run of every plan spends {:.3f} ms in them, {:.3f} ms before\n", tuned * 1e3, fixed * 1e3);
}

std::string header(const ModelPlans& plans, const Options& o) {
  const kernels::Device device = plans.plans.front().plan->device();
  return fmt::format("# mixop {}, {}, {}\n# {}, batch {}, {}\n# call, tab, implementation\n", kVersion, utc_now(),
                     device_name(device), plans.title, plans.batch,
                     device == kernels::Device::kCpu ? fmt::format("{} threads", plans.threads)
                                                     : fmt::format("TF32 {}", o.plans.tf32 ? "on" : "off"));
}

int run(const Options& o) {
  const std::filesystem::path out = o.out, folder = out.has_parent_path() ? out.parent_path() : ".";
  MIXOP_CHECK(std::filesystem::is_directory(folder), "--out ", o.out, ": ", folder.string(), " is not a directory");
  const ModelPlans plans = compile_plans(o.plans);
  std::vector<const autograd::Plan*> compiled;
  for (const auto& [name, plan] : plans.plans) compiled.push_back(plan);
  TuneProgress progress;
  autograd::TuningOptions options;
  options.progress = [&](const TunedCall&, size_t done, size_t all) { progress.show(done, all); };
  const std::vector<TunedCall> calls = autograd::tune(compiled, options);
  for (const TunedCall& call : calls) print_call(call);
  print_summary(calls);
  autograd::write_file(out, header(plans, o) + autograd::format_choices(autograd::best_choices(calls)));
  fmt::print("use it with --tuning {}\n", o.out);
  return kOk;
}

}  // namespace

void add_tune(CLI::App& app, Action& action) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand(
      "tune", "Measure the implementations of a network's steps here and write the fastest for --tuning");
  options->plans.add_to(*command);
  command->add_option("--out", options->out, "File to write, for --tuning of search and train")->required();
  command->callback([options, &action] { action = [options] { return run(*options); }; });
}

}  // namespace mixop::cli
