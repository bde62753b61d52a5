// One first-order search step of the DARTS supernet: ours, and with --peer pytorch the same step there, in one run.
//   step_bench --peer pytorch --batch 64
//   step_bench --device cuda --steps 500 --json step.json
// The last line is the ratio, the peer's median step over ours. On a CUDA device each step is timed from an idle
// device until it is idle again; its halves arch_s and weight_s are what passes on the device.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "autograd/files.h"
#include "bench/device.h"
#include "bench/step_data.h"
#include "bench/step_timing.h"

namespace {

using namespace mixop;
using nlohmann::json;
namespace cuda = kernels::cuda;

struct Options {
  int64_t channels = 16, batch = 64, image = 32, image_channels = 3;
  int cells = 8, steps = 5, peer_steps = 3;
  std::string peer, variant = "channels_last", json, python = "/usr/bin/python3",
                    script = MIXOP_SOURCE_DIR "/bench/peers/darts_step.py", device = "cpu";
  bool ops = false, tf32 = false, no_graph = false, fed = false;
  bool on_device() const { return device != "cpu"; }
};

/// What the steps cost of a search with 50 epochs, half of CIFAR-10's 50,000 images for either kind of step.
json extrapolate(const Options& o, const std::vector<double>& step_s, double evaluation_s) {
  const int64_t steps = 50 * ((25'000 + o.batch - 1) / o.batch);
  const double seconds = static_cast<double>(steps) * bench::mean(step_s);
  const double evaluations = static_cast<double>(steps) * evaluation_s;
  std::printf(
      "%-28s %.1f min for %ld steps, extrapolated from %zu; +%.1f min to evaluate 25,000 images after each\n",
      "50 epochs of this size", seconds / 60, long(steps), step_s.size(), evaluations / 60);
  return {{"epochs", 50},
          {"steps", steps},
          {"steps_s", seconds},
          {"evaluations_s", evaluations},
          {"measured_steps", step_s.size()}};
}

/// What only a device has; `free_before` are its free bytes before the search was made.
json measure_rest(const Options& o, nas::DartsSearch& search, const nas::Batch& batch,
                  const std::vector<double>& step_s, size_t free_before) {
  const int runs = std::min(o.steps, 50);
  const double pipelined = bench::measure_pipelined(search, batch, runs);
  const double evaluation = bench::measure_evaluation(search, batch, runs);
  const size_t free = cuda::free_bytes(), peak = free_before - std::min(free_before, free);
  const size_t launches = bench::launches(search.arch_plan()) + bench::launches(search.weight_plan());
  std::printf("%-28s step %.5f s (mean of %d)\n", "without waiting between", pipelined, runs);
  std::printf("%-28s %.5f s (mean of %d)\n", "evaluation of a batch", evaluation, runs);
  std::printf("%-28s %zu\n", "launches per step", launches);
  std::printf("%-28s %.2f GB, %s\n", "device memory", static_cast<double>(peak) / 1e9,
              o.fed ? "images fed from the host" : "50,000 resident images included");
  json report = {{"device", o.device},
                 {"device_name", cuda::selected().name},
                 {"tf32", o.tf32},
                 {"graph", !o.no_graph},
                 {"fed", o.fed},
                 {"pipelined_step_s", pipelined},
                 {"pipelined_steps", runs},
                 {"evaluation_s", evaluation},
                 {"launches_per_step", launches},
                 {"peak_bytes", peak}};
  report["search"] = extrapolate(o, step_s, evaluation);
  return report;
}

/// Runs the peer in a process of its own; its last line of output is JSON.
json run_peer(const Options& o) {
  MIXOP_CHECK(!o.on_device() || cuda::selected().index == 0,
              "--peer runs on GPU 0; choose with CUDA_VISIBLE_DEVICES");
  const std::string command = kernels::text(
      o.python, " ", o.script, " --channels ", o.channels, " --cells ", o.cells, " --batch ", o.batch, " --image ",
      o.image, "x", o.image, "x", o.image_channels, " --threads ", kernels::default_threads(), " --steps ",
      o.peer_steps, " --variant ", o.variant, o.on_device() ? " --device cuda --warmup 5" : " --warmup 1");
  std::printf("peer: %s\n", command.c_str());
  std::fflush(stdout);
  FILE* pipe = popen(command.c_str(), "r");
  MIXOP_CHECK(pipe, "cannot start the peer");
  std::string last, line;
  for (int c; (c = std::fgetc(pipe)) != EOF;) {
    if (c != '\n') {
      line += static_cast<char>(c);
      continue;
    }
    if (!line.empty()) last = line;
    line.clear();
  }
  MIXOP_CHECK(pclose(pipe) == 0, "the peer failed (is python3-torch installed?)");
  return json::parse(last);
}

/// The peer's numbers beside ours, in print and in the report.
void compare(const Options& o, const json& peer, const bench::Timings& ours, json& report) {
  const double theirs = peer["median_s"];
  const int digits = ours.digits;
  std::printf("%-28s step %.*f s (median of %d, %.*f to %.*f)  peak memory %.2f GB\n",
              (o.peer + " " + o.variant).c_str(), digits, theirs, o.peer_steps, digits, peer["min_s"].get<double>(),
              digits, peer["max_s"].get<double>(),
              peer[o.on_device() ? "peak_bytes" : "peak_rss_bytes"].get<double>() / 1e9);
  report["peer"] = peer;
  report["ratio"] = theirs / bench::median(ours.step);
}

autograd::CompileOptions compile_options(const Options& o) {
  MIXOP_CHECK(o.on_device() || (!o.tf32 && !o.no_graph), "--tf32 and --no-graph need --device cuda");
  autograd::CompileOptions options;
  options.device = bench::open_device(o.device);
  options.graph = !o.no_graph;
  options.tf32 = o.tf32;
  return options;
}

int run(const Options& o) {
  const bool on_device = o.on_device();
  nas::DartsOptions options;
  options.net = {.channels = o.channels,
                 .cells = o.cells,
                 .height = o.image,
                 .width = o.image,
                 .image_channels = o.image_channels};
  const autograd::CompileOptions compile = compile_options(o);
  const size_t free_before = on_device ? cuda::free_bytes() : 0;
  const auto start = std::chrono::steady_clock::now();
  bench::StepData data(o.batch, {o.image, o.image, o.image_channels}, on_device && !o.fed);
  nas::DartsSearch::BatchSizes sizes{{o.batch}, {o.batch}, {}};
  if (on_device) sizes.eval = {o.batch};
  nas::DartsSearch search(options, sizes, kernels::DType::kF32, compile, data.source());
  data.fill();
  const nas::Batch batch = data.batch();
  std::printf(
      "supernet C=%ld cells=%d image %ldx%ldx%ld batch %ld: %ld parameters; arena %.0f MiB; built in %.2f s\n",
      long(o.channels), o.cells, long(o.image), long(o.image), long(o.image_channels), long(o.batch),
      long(search.stores().weights.elements()), static_cast<double>(search.arena_bytes()) / (1 << 20),
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (on_device)
    std::printf("%s, %s, %s\n", cuda::selected().name.c_str(), o.tf32 ? "TF32" : "float32",
                o.no_graph ? "node by node" : "captured graphs");
  bench::Timings ours, warm_up;
  bench::measure_steps(search, batch, on_device ? 3 : 1, warm_up);  // a device captures the second
  bench::measure_steps(search, batch, o.steps, ours);
  json report;
  if (on_device) {
    ours.digits = 5;
    report = measure_rest(o, search, batch, ours.step, free_before);
  }
  if (o.ops) bench::print_ops(search, batch, o.steps);
  json peer;
  if (!o.peer.empty()) {
    peer = run_peer(o);
    bench::measure_steps(search, batch, o.steps, ours);  // again: a drift of the machine shows as spread
  }
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  const double median = bench::median(ours.step);
  ours.print("mixop");
  std::printf("%-28s %.2f GB\n", o.on_device() ? "mixop host memory" : "mixop peak memory",
              static_cast<double>(usage.ru_maxrss) * 1024 / 1e9);
  report.update({{"channels", o.channels},
                 {"cells", o.cells},
                 {"batch", o.batch},
                 {"image", o.image},
                 {"threads", kernels::default_threads()},
                 {"step_s", ours.step},
                 {"arch_s", ours.arch},
                 {"weight_s", ours.weight},
                 {"median_s", median},
                 {"peak_rss_bytes", usage.ru_maxrss * 1024},
                 {"images_per_s", 2 * static_cast<double>(o.batch) / median}});
  std::printf("%-28s %.1f (both steps' batches counted)\n", "mixop images/s", report["images_per_s"].get<double>());
  if (!peer.is_null()) compare(o, peer, ours, report);
  if (!o.json.empty()) autograd::write_file(o.json, report.dump(2) + "\n");
  if (!peer.is_null()) std::printf("ratio %.2f\n", report["ratio"].get<double>());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("One search step of the DARTS supernet, beside a peer");
  app.add_option("--channels", o.channels)->capture_default_str();
  app.add_option("--cells", o.cells)->capture_default_str();
  app.add_option("--batch", o.batch)->capture_default_str();
  app.add_option("--image", o.image, "height and width")->capture_default_str();
  app.add_option("--image-channels", o.image_channels)->capture_default_str();
  app.add_option("--steps", o.steps)->check(CLI::PositiveNumber)->capture_default_str();
  app.add_option("--device", o.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_flag("--tf32", o.tf32, "on a device: products may round their factors to TF32");
  app.add_flag("--no-graph", o.no_graph, "on a device: start every kernel by itself");
  app.add_flag("--fed", o.fed, "on a device: images come from the host, not from its memory");
  app.add_option("--peer", o.peer)->check(CLI::IsMember({"pytorch"}));
  app.add_option("--peer-steps", o.peer_steps)->capture_default_str();
  app.add_option("--variant", o.variant, "of the peer, see its --help")->capture_default_str();
  app.add_option("--python", o.python)->capture_default_str();
  app.add_option("--json", o.json, "write the numbers here");
  app.add_flag("--ops", o.ops, "print where our time goes; on a device op by op, launches included");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "step_bench: %s\n", e.what());
    return 1;
  }
}
