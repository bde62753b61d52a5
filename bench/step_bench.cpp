// One first-order search step of the DARTS supernet: ours, and with --peer pytorch the same step there, in one run.
//   step_bench --peer pytorch --batch 64
// The last line is the ratio, the peer's median step over ours.
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <map>
#include <nlohmann/json.hpp>

#include "autograd/files.h"
#include "bench/ceilings.h"
#include "kernels/core/rng.h"
#include "nas/search/darts.h"

namespace {

using namespace mixop;
using Clock = std::chrono::steady_clock;

double since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

double median(std::vector<double> v) {
  std::sort(v.begin(), v.end());
  return v.empty() ? 0 : (v[(v.size() - 1) / 2] + v[v.size() / 2]) / 2;
}

struct Options {
  int64_t channels = 16, batch = 64, image = 32, image_channels = 3;
  int cells = 8, steps = 5, peer_steps = 3;
  std::string peer, variant = "channels_last", json, python = "/usr/bin/python3",
                    script = MIXOP_SOURCE_DIR "/bench/peers/darts_step.py";
  bool ops = false;
};

struct Timings {
  std::vector<double> arch, weight, step;
  void print(const char* name) const {
    const auto [low, high] = std::minmax_element(step.begin(), step.end());
    std::printf("%-28s step %.3f s (median of %zu, %.3f to %.3f)  arch %.3f  weight %.3f\n", name, median(step),
                step.size(), *low, *high, median(arch), median(weight));
  }
};

/// Seconds, FLOPs and planned traffic per op kind of both steps.
void print_ops(const nas::DartsSearch& search, int steps) {
  struct Row {
    double seconds = 0, flops = 0, traffic = 0;
    int calls = 0;
  };
  std::map<std::string, Row> rows;
  for (const autograd::Plan* plan : {&search.arch_plan(), &search.weight_plan()}) {
    const auto infos = plan->steps();
    for (size_t i = 0; i < infos.size(); ++i) {
      Row& row = rows[infos[i].op + " (" + infos[i].impl + ")"];
      row.seconds += plan->seconds()[i] / steps;
      row.flops += infos[i].flops;
      row.traffic += static_cast<double>(infos[i].traffic);
      ++row.calls;
    }
  }
  std::vector<std::pair<std::string, Row>> sorted(rows.begin(), rows.end());
  std::sort(sorted.begin(), sorted.end(),
            [](const auto& a, const auto& b) { return a.second.seconds > b.second.seconds; });
  const bench::Ceilings& top = bench::measured_ceilings();
  std::printf("%-36s %6s %9s %9s %8s %8s %8s\n", "op", "calls", "ms/step", "GFLOP/s", "%flops", "GB/s", "%copy");
  for (const auto& [name, r] : sorted)
    std::printf("%-36s %6d %9.1f %9.1f %8.1f %8.1f %8.1f\n", name.c_str(), r.calls, r.seconds * 1e3,
                r.flops / r.seconds / 1e9, 100 * r.flops / r.seconds / 1e9 / top.gflops,
                r.traffic / r.seconds / 1e9, 100 * r.traffic / r.seconds / 1e9 / top.gbytes);
}

/// Runs the peer in a process of its own; its last line of output is JSON.
nlohmann::json run_peer(const Options& o) {
  const std::string command = o.python + " " + o.script + " --channels " + std::to_string(o.channels) +
                              " --cells " + std::to_string(o.cells) + " --batch " + std::to_string(o.batch) +
                              " --image " + std::to_string(o.image) + "x" + std::to_string(o.image) + "x" +
                              std::to_string(o.image_channels) + " --threads " +
                              std::to_string(kernels::default_threads()) + " --steps " +
                              std::to_string(o.peer_steps) + " --warmup 1 --variant " + o.variant;
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
  return nlohmann::json::parse(last);
}

int run(const Options& o) {
  nas::DartsOptions options;
  options.net = {.channels = o.channels,
                 .cells = o.cells,
                 .height = o.image,
                 .width = o.image,
                 .image_channels = o.image_channels};
  const auto start = Clock::now();
  nas::DartsSearch search(options, {{o.batch}, {o.batch}, {}});
  std::vector<float> images(static_cast<size_t>(o.batch * o.image * o.image * o.image_channels));
  std::vector<int32_t> labels(static_cast<size_t>(o.batch));
  for (size_t i = 0; i < images.size(); ++i) images[i] = static_cast<float>(kernels::normal(1, 0, i));
  for (size_t i = 0; i < labels.size(); ++i) labels[i] = static_cast<int32_t>(i % 10);
  const nas::Batch batch{images.data(), labels.data(), o.batch};
  std::printf(
      "supernet C=%ld cells=%d image %ldx%ldx%ld batch %ld: %ld parameters; arena %.0f MiB; built in %.2f s\n",
      long(o.channels), o.cells, long(o.image), long(o.image), long(o.image_channels), long(o.batch),
      long(search.stores().weights.elements()), static_cast<double>(search.arena_bytes()) / (1 << 20),
      since(start));
  Timings ours;
  const auto measure = [&](int steps) {
    for (int s = 0; s < steps; ++s) {
      const auto t0 = Clock::now();
      search.arch_step(batch);
      const double arch = since(t0);
      search.weight_step(batch);
      const double both = since(t0);
      ours.arch.push_back(arch);
      ours.weight.push_back(both - arch);
      ours.step.push_back(both);
    }
  };
  search.arch_step(batch);
  search.weight_step(batch);
  if (o.ops) {
    const_cast<autograd::Plan&>(search.arch_plan()).enable_timing(true);
    const_cast<autograd::Plan&>(search.weight_plan()).enable_timing(true);
  }
  measure(o.steps);
  if (o.ops) print_ops(search, o.steps);
  nlohmann::json peer;
  if (!o.peer.empty()) {
    peer = run_peer(o);
    measure(o.steps);  // before and after the peer: a drift of the machine shows as spread
  }
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  ours.print("mixop");
  std::printf("%-28s %.2f GB\n", "mixop peak memory", static_cast<double>(usage.ru_maxrss) * 1024 / 1e9);
  nlohmann::json report = {{"channels", o.channels},
                           {"cells", o.cells},
                           {"batch", o.batch},
                           {"image", o.image},
                           {"threads", kernels::default_threads()},
                           {"step_s", ours.step},
                           {"arch_s", ours.arch},
                           {"weight_s", ours.weight},
                           {"median_s", median(ours.step)},
                           {"peak_rss_bytes", usage.ru_maxrss * 1024},
                           {"images_per_s", 2 * static_cast<double>(o.batch) / median(ours.step)}};
  std::printf("%-28s %.1f (both steps' batches counted)\n", "mixop images/s", report["images_per_s"].get<double>());
  if (!peer.is_null()) {
    const double theirs = peer["median_s"];
    std::printf("%-28s step %.3f s (median of %d, %.3f to %.3f)  peak memory %.2f GB\n",
                (o.peer + " " + o.variant).c_str(), theirs, o.peer_steps, peer["min_s"].get<double>(),
                peer["max_s"].get<double>(), peer["peak_rss_bytes"].get<double>() / 1e9);
    report["peer"] = peer;
    report["ratio"] = theirs / median(ours.step);
  }
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
  app.add_option("--steps", o.steps)->capture_default_str();
  app.add_option("--peer", o.peer)->check(CLI::IsMember({"pytorch"}));
  app.add_option("--peer-steps", o.peer_steps)->capture_default_str();
  app.add_option("--variant", o.variant, "of the peer: nchw, channels_last, frozen")->capture_default_str();
  app.add_option("--python", o.python)->capture_default_str();
  app.add_option("--json", o.json, "write the numbers here");
  app.add_flag("--ops", o.ops, "print where our time goes");
  CLI11_PARSE(app, argc, argv);
  try {
    return run(o);
  } catch (const std::exception& e) {
    std::fprintf(stderr, "step_bench: %s\n", e.what());
    return 1;
  }
}
