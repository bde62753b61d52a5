// One first-order search step of the DARTS supernet, or one training step of a derived network: ours, and with
// --peer pytorch the same step there, in one run in which both take turns.
//   step_bench --peer pytorch --batch 64
//   step_bench --peer pytorch --variant channels_last,channels_last+frozen --json step.json
//   step_bench --network darts_v2 --auxiliary --peer pytorch
//   step_bench --network enas-micro --archs 3 --peer pytorch
//   step_bench --device cuda --steps 500 --json step.json
// The last line is the ratio, the median step of the fastest variant of the peer over ours between its steps. On a
// CUDA device each step is timed from an idle device until it is idle again; its halves are what passes on the
// device.
#include <sys/resource.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <nlohmann/json.hpp>

#include "autograd/files.h"
#include "bench/device.h"
#include "bench/peer.h"
#include "bench/step_report.h"

namespace {

using namespace mixop;
using nlohmann::json;
namespace cuda = kernels::cuda;

struct Options {
  bench::SubjectOptions subject;
  int steps = 9, peer_steps = 3;
  std::vector<std::string> variants = {"channels_last"};
  std::string peer, json, python = "/usr/bin/python3", script, device = "cpu";
  bool ops = false, tf32 = false, bf16 = false, no_graph = false, fed = false;
  bool on_device() const { return device != "cpu"; }
};

std::string arithmetic(const Options& o) {
  return std::string(o.tf32 ? "TF32" : "float32") + (o.bf16 ? ", bf16 stored" : "");
}

/// What the steps cost of a search with 50 epochs, half of CIFAR-10's 50,000 images for either kind of step.
json extrapolate(int64_t batch, const std::vector<double>& step_s, double evaluation_s) {
  const int64_t steps = 50 * ((25'000 + batch - 1) / batch);
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

/// What only a device has; `free_before` are its free bytes before the subject was made.
json measure_rest(const Options& o, bench::Subject& subject, const std::vector<double>& step_s,
                  size_t free_before) {
  const int runs = std::min(o.steps, 50);
  const double pipelined = bench::measure_pipelined(subject, runs);
  const double evaluation = bench::measure_evaluation(subject, runs);
  const size_t free = cuda::free_bytes(), peak = free_before - std::min(free_before, free);
  const size_t launches = bench::kernel_calls(subject);
  std::printf("%-28s step %.5f s (mean of %d)\n", "without waiting between", pipelined, runs);
  std::printf("%-28s %.5f s (mean of %d)\n", "evaluation of a batch", evaluation, runs);
  std::printf("%-28s %.2f GB, %s\n", "device memory", static_cast<double>(peak) / 1e9,
              o.fed ? "images fed from the host" : "50,000 resident images included");
  json report = {{"device", o.device},
                 {"device_name", cuda::selected().name},
                 {"tf32", o.tf32},
                 {"bf16", o.bf16},
                 {"graph", !o.no_graph},
                 {"fed", o.fed},
                 {"pipelined_step_s", pipelined},
                 {"pipelined_steps", runs},
                 {"evaluation_s", evaluation},
                 {"launches_per_step", launches},
                 {"peak_bytes", peak}};
  if (subject.is_search()) report["search"] = extrapolate(subject.options().batch, step_s, evaluation);
  return report;
}

std::vector<std::string> peer_command(const Options& o, const bench::Subject& subject, const std::string& variant) {
  MIXOP_CHECK(!o.on_device() || cuda::selected().index == 0,
              "--peer runs on GPU 0; choose with CUDA_VISIBLE_DEVICES");
  const bench::SubjectOptions& s = subject.options();
  const std::string folder = MIXOP_SOURCE_DIR "/bench/peers/";
  const std::string script = folder + (subject.is_search() ? "darts_step.py"
                                       : subject.samples() ? "enas_step.py"
                                                           : "derived_step.py");
  std::vector<std::string> words{o.python, o.script.empty() ? script : o.script, "--serve"};
  const auto add = [&](const char* name, const std::string& value) { words.insert(words.end(), {name, value}); };
  add("--channels", std::to_string(s.channels));
  add("--cells", std::to_string(s.cells));
  add("--batch", std::to_string(s.batch));
  add("--image", kernels::text(s.image, "x", s.image, "x", s.image_channels));
  add("--threads", std::to_string(kernels::default_threads()));
  add("--variant", variant);
  add("--warmup", o.on_device() ? "5" : "1");
  if (o.on_device()) {
    words.insert(words.end(), {"--device", "cuda"});
    const auto has = [&](const char* word) { return variant.find(word) != std::string::npos; };
    if (!has("graph") && !has("compile") && !has("autotune")) words.emplace_back("--launches");
  }
  for (const std::string& word : subject.peer_arguments()) words.push_back(word);
  return words;
}

/// Ours and one variant of the peer take turns; while one works the other waits. Adds to `ours`; returns the peer's
/// record with the ratio, and its column.
std::pair<json, bench::Column> take_turns(const Options& o, bench::Subject& subject, const std::string& variant,
                                          bench::Timings& ours) {
  // Huge pages as far as the C library gives them (transparent ones where malloc asks for much).
  bench::Peer peer(peer_command(o, subject, variant), {"GLIBC_TUNABLES=glibc.malloc.hugetlb=1"});
  MIXOP_CHECK(peer.ready()["parameters"] == subject.parameters(), "the peer has ",
              peer.ready()["parameters"].dump(), " parameters, ours ", subject.parameters(), ": another network");
  bench::Timings between;
  const int in_a_turn = (o.steps + o.peer_steps - 1) / o.peer_steps;
  for (int turn = 0; turn < o.peer_steps; ++turn) {
    // After its warm-up step the peer takes the architectures in turn; ours do each step of a turn as the same one.
    for (int step = 0; step < in_a_turn; ++step) {
      subject.begin_with(static_cast<size_t>(turn) + 1);
      bench::measure_steps(subject, 1, between);
    }
    const double seconds = peer.step()["seconds"];
    std::printf("turn %d: ours %.*f s, %s %.*f s\n", turn + 1, o.on_device() ? 5 : 3, between.step.back(),
                variant.c_str(), o.on_device() ? 5 : 3, seconds);
    std::fflush(stdout);
  }
  json record = peer.finish();
  const bench::Column column = bench::peer_column(record, between.step, subject.images());
  record["ratio"] = column.ratio;
  record["our_step_s"] = between.step;
  ours.halves.resize(between.halves.size());
  ours.step.insert(ours.step.end(), between.step.begin(), between.step.end());
  for (size_t h = 0; h < ours.halves.size(); ++h)
    ours.halves[h].insert(ours.halves[h].end(), between.halves[h].begin(), between.halves[h].end());
  return {record, column};
}

/// All variants, one after the other. Of several one may fail, as when PyTorch is too old for it.
void measure_peers(const Options& o, bench::Subject& subject, bench::Timings& ours, json& records,
                   std::vector<bench::Column>& columns) {
  for (const std::string& variant : o.variants) {
    try {
      auto [record, column] = take_turns(o, subject, variant, ours);
      records.push_back(std::move(record));
      columns.push_back(std::move(column));
    } catch (const Error& error) {
      if (o.variants.size() == 1) throw;
      std::printf("%s: not measured: %s\n", variant.c_str(), error.what());
    }
  }
  MIXOP_CHECK(!records.empty(), "no variant of the peer was measured");
}

/// What a step of each architecture costs in the plan of all and in one of its own, turn about.
json measure_sampling(const Options& o, bench::Subject& subject, const autograd::CompileOptions& compile) {
  json report = json::array();
  for (size_t i = 0; i < subject.archs().size(); ++i) {
    bench::SubjectOptions own = subject.options();
    own.alone = subject.archs()[i];
    const bench::Subject alone(own, compile);
    bench::Timings sampled, single, warm_up;
    bench::measure_steps(alone, 1, warm_up);
    for (int step = 0; step < o.steps; ++step) {
      subject.begin_with(i);
      bench::measure_steps(subject, 1, sampled);
      bench::measure_steps(alone, 1, single);
    }
    const double cost = bench::median(sampled.step), own_cost = bench::median(single.step);
    std::printf(
        "architecture %zu: sampled step %.3f s, its own network %.3f s, %.2f times that; arenas %.0f, %.0f MiB\n",
        i + 1, cost, own_cost, cost / own_cost, static_cast<double>(subject.arena_bytes()) / (1 << 20),
        static_cast<double>(alone.arena_bytes()) / (1 << 20));
    report.push_back({{"sampled_step_s", sampled.step}, {"own_step_s", single.step}, {"cost", cost / own_cost}});
  }
  return report;
}

autograd::CompileOptions compile_options(const Options& o) {
  MIXOP_CHECK(o.on_device() || (!o.tf32 && !o.bf16 && !o.no_graph),
              "--tf32, --bf16 and --no-graph need --device cuda");
  autograd::CompileOptions options;
  options.device = bench::open_device(o.device);
  options.graph = !o.no_graph;
  options.tf32 = o.tf32;
  options.bf16 = o.bf16;
  return options;
}

/// Nodes of a step: their traffic, their times on the CPU (a device would wait after each), the tables of --ops.
void measure_parts(const Options& o, const bench::Subject& subject, json& report, bench::Column& column) {
  const int timed = o.ops || !o.on_device() ? std::min(o.steps, 5) : 0;
  const auto nodes = bench::measure_nodes(subject, timed);
  if (o.ops) {
    const bench::Ceilings& top = o.on_device() ? bench::device_ceilings() : bench::measured_ceilings();
    bench::print_ops(nodes, top, o.on_device() ? 3 : 1);
    report["ops"] = bench::report_ops(nodes, top);
    if (o.on_device()) std::printf("each op was waited for, its time includes its launch\n");
  }
  std::vector<bench::PartCosts> halves;
  for (const auto& half : nodes) halves.push_back(bench::part_costs(half));
  report["traffic_bytes"] = bench::report_traffic(subject, halves);
  if (!timed || o.on_device()) return;
  double all = 0;
  for (int p = 0; p < bench::kParts; ++p) {
    double seconds = 0;
    for (size_t h = 0; h < halves.size(); ++h) {
      seconds += halves[h].seconds[p];
      report["parts_s"][subject.halves()[h].name][bench::kPartNames[p]] = halves[h].seconds[p];
    }
    column.parts.emplace_back(bench::kPartNames[p], seconds);
    report[std::string(bench::kPartNames[p]) + "_s"] = seconds;
    all += seconds;
  }
  report["nodes_s"] = all;
  std::printf(
      "forward, backward and update of mixop: nodes timed one by one in %d steps of their own, %.3f s a step\n",
      timed, all);
}

int run(const Options& o) {
  const autograd::CompileOptions compile = compile_options(o);
  const size_t free_before = o.on_device() ? cuda::free_bytes() : 0;
  const auto start = std::chrono::steady_clock::now();
  bench::SubjectOptions wanted = o.subject;
  wanted.resident = o.on_device() && !o.fed;
  bench::Subject subject(wanted, compile);
  std::printf("%s: %ld parameters; arena %.0f MiB; built in %.2f s\n", subject.title().c_str(),
              long(subject.parameters()), static_cast<double>(subject.arena_bytes()) / (1 << 20),
              std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  if (o.on_device())
    std::printf("%s, %s, %s\n", cuda::selected().name.c_str(), arithmetic(o).c_str(),
                o.no_graph ? "node by node" : "captured graphs");
  bench::Timings ours, warm_up;
  bench::measure_steps(subject, o.on_device() ? 3 : 1, warm_up);  // a device captures the second
  json peers = json::array();
  std::vector<bench::Column> columns(1);
  if (o.peer.empty()) bench::measure_steps(subject, o.steps, ours);
  else measure_peers(o, subject, ours, peers, columns);
  struct rusage usage {};
  getrusage(RUSAGE_SELF, &usage);
  json report;
  if (o.on_device()) report = measure_rest(o, subject, ours.step, free_before);

  bench::Column& mine = columns[0];
  mine.name = o.on_device() ? "mixop " + arithmetic(o) : "mixop";
  mine.step_s = ours.step;
  for (size_t h = 0; h < ours.halves.size(); ++h)
    mine.halves.emplace_back(subject.halves()[h].name, bench::median(ours.halves[h]));
  mine.images_per_s = static_cast<double>(subject.images()) / bench::median(ours.step);
  mine.peak_bytes =
      o.on_device() ? report["peak_bytes"].get<double>() : 1024.0 * static_cast<double>(usage.ru_maxrss);
  mine.kernel_calls = static_cast<double>(bench::kernel_calls(subject));
  if (!subject.samples())
    measure_parts(o, subject, report, mine);  // else most nodes of the plan are not carried out
  bench::print_table(columns, o.on_device() ? 5 : 3);

  report.update({{"subject", subject.title()},
                 {"machine", bench::describe_machine()},
                 {"channels", subject.options().channels},
                 {"cells", subject.options().cells},
                 {"batch", subject.options().batch},
                 {"image", subject.options().image},
                 {"parameters", subject.parameters()},
                 {"threads", kernels::default_threads()},
                 {"step_s", ours.step},
                 {"median_s", bench::median(ours.step)},
                 {"kernel_calls_per_step", mine.kernel_calls},
                 {"arena_bytes", subject.arena_bytes()},
                 {"peak_rss_bytes", usage.ru_maxrss * 1024},
                 {"images_per_s", mine.images_per_s}});
  for (size_t h = 0; h < ours.halves.size(); ++h)
    report[std::string(subject.halves()[h].name) + "_s"] = ours.halves[h];
  if (subject.samples()) report["sampling"] = measure_sampling(o, subject, compile);
  if (!peers.empty()) {
    const auto fastest = std::min_element(columns.begin() + 1, columns.end(), [](const auto& a, const auto& b) {
      return bench::median(a.step_s) < bench::median(b.step_s);
    });
    report["peers"] = peers;
    report["ratio"] = fastest->ratio;
  }
  if (!o.json.empty()) autograd::write_file(o.json, report.dump(2) + "\n");
  if (!peers.empty()) std::printf("ratio %.2f\n", report["ratio"].get<double>());
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  Options o;
  CLI::App app("One search step of the DARTS supernet or training step of a derived network, beside a peer");
  app.add_option("--network", o.subject.network,
                 "a genotype (darts_v2, a text or @file) or enas-micro in place of the supernet");
  app.add_option("--archs", o.subject.archs, "of enas-micro: so many drawn architectures in turn; 0: the published")
      ->check(CLI::Range(0, 1000));
  app.add_option("--channels", o.subject.channels, "default 16, of a network 36")->check(CLI::PositiveNumber);
  app.add_option("--cells", o.subject.cells, "default 8, of a network 20")->check(CLI::PositiveNumber);
  app.add_option("--batch", o.subject.batch, "default 64, of a network 96")->check(CLI::PositiveNumber);
  app.add_option("--image", o.subject.image, "height and width")->capture_default_str();
  app.add_option("--image-channels", o.subject.image_channels)->capture_default_str();
  app.add_flag("--auxiliary", o.subject.auxiliary, "of a network: train the second classifier too");
  app.add_option("--drop-path", o.subject.drop_path, "of a network: probability")->check(CLI::Range(0.0, 1.0));
  app.add_option("--steps", o.steps, "ours; with each variant of a peer, at least one a turn")
      ->check(CLI::PositiveNumber);
  app.add_option("--device", o.device, "cpu, cuda or cuda:N")->capture_default_str();
  app.add_flag("--tf32", o.tf32, "on a device: products may round their factors to TF32");
  app.add_flag("--bf16", o.bf16, "on a device: activations are stored as bfloat16");
  app.add_flag("--no-graph", o.no_graph, "on a device: start every kernel by itself");
  app.add_flag("--fed", o.fed, "on a device: images come from the host, not from its memory");
  app.add_option("--peer", o.peer)->check(CLI::IsMember({"pytorch"}));
  app.add_option("--peer-steps", o.peer_steps, "turns, one step of the peer each")
      ->check(CLI::PositiveNumber)
      ->capture_default_str();
  app.add_option("--variant", o.variants, "of the peer, see its --help; several by commas")->delimiter(',');
  app.add_option("--python", o.python)->capture_default_str();
  app.add_option("--peer-script", o.script, "in place of those in bench/peers");
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
