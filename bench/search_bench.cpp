// What a search costs itself: microseconds of a processor an evaluation (ask, tell and the loop) of every strategy
// over NAS-Bench-201 cells, with an evaluator that costs nothing, and the memory of long searches.
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <ctime>
#include <fstream>
#include <map>

#include "kernels/core/check.h"
#include "nas/search/loop.h"
#include "nas/space/spaces.h"

namespace mixop {
namespace {

/// Seconds of a processor that this process has had: others on the machine do not count.
double processor_seconds() { return static_cast<double>(std::clock()) / CLOCKS_PER_SEC; }

/// As if drawn at random, and the same for the same architecture.
class Free final : public nas::ImmediateEvaluator {
 protected:
  nas::Outcome evaluate(const nas::Candidate& c) override {
    const nas::ArchKey key = nas::hash_numbers(c.arch);
    const auto percent = [](uint64_t word) { return static_cast<double>(word >> 11) * 0x1p-53 * 100; };
    const double accuracy = percent(key.high);
    return {.accuracy = accuracy, .cost = 1, .objectives = {100 - accuracy, percent(key.low)}};
  }
};

/// Microseconds that an evaluation may cost: of random search and evolution 20, of controllers 1000; others are
/// models, which cost what they cost.
const std::map<std::string, double> kBounds = {
    {"random", 20}, {"regularized-evolution", 20}, {"large-scale-evolution", 20}, {"ga", 20},
    {"nsga2", 20},  {"local-search", 20},          {"reinforce", 1000},           {"nas-rl", 1000},
    {"ppo", 1000},  {"q-learning", 1000}};

struct Timed {
  int64_t evaluations = 0;
  double seconds = 0;
};

Timed run(const nas::StrategyInfo& info, const nas::Space& space, int64_t evaluations, double seconds) {
  const auto strategy = info.make(space, nas::Settings(info.settings), 0);
  Free evaluator;
  nas::SearchLoop loop(*strategy, evaluator, {.evaluations = evaluations});
  const double begin = processor_seconds();
  Timed timed;
  while (timed.seconds < seconds && loop.step()) {
    // Asking for the time costs more than random search does.
    if (loop.evaluations() % 64 == 0) timed.seconds = processor_seconds() - begin;
  }
  timed = {loop.evaluations(), processor_seconds() - begin};
  return timed;
}

/// Resident memory of this process.
int64_t resident_kib() {
  int64_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * sysconf(_SC_PAGESIZE) / 1024;
}

/// KiB by which a search grew between a tenth of its evaluations and the last of them.
int64_t growth(const nas::StrategyInfo& info, const nas::Space& space, int64_t evaluations) {
  const auto strategy = info.make(space, nas::Settings(info.settings), 0);
  Free evaluator;
  nas::SearchLoop loop(*strategy, evaluator, {.evaluations = evaluations});
  while (loop.evaluations() < evaluations / 10) loop.step();
  const int64_t before = resident_kib();
  loop.run();
  return resident_kib() - before;
}

}  // namespace
}  // namespace mixop

int main(int argc, char** argv) {
  using namespace mixop;
  CLI::App app("Overhead and memory of the search strategies");
  int64_t evaluations = 100000, long_search = 1000000;
  double seconds = 2;
  bool enforce = false;
  std::string text = "nb201";
  app.add_option("--evaluations", evaluations, "of each strategy at most")->check(CLI::PositiveNumber);
  app.add_option("--seconds", seconds, "for each strategy at most")->check(CLI::PositiveNumber);
  app.add_option("--long-search", long_search, "evaluations over which the memory is watched; 0: not watched");
  app.add_option("--space", text, "the space");
  app.add_flag("--enforce", enforce, "exit 1 when a bound is passed");
  CLI11_PARSE(app, argc, argv);
  bool over = false;
  try {
    const auto space = nas::find_space(text);
    std::printf("%-24s %12s %12s %8s\n", "strategy", "evaluations", "us each", "bound");
    for (const nas::StrategyInfo* info : nas::strategies()) {
      Timed timed;
      try {
        timed = run(*info, *space, evaluations, seconds);
      } catch (const Error& error) {
        std::printf("%-24s %s\n", info->name.c_str(), error.what());
        continue;
      }
      const double each = timed.seconds / static_cast<double>(timed.evaluations) * 1e6;
      const auto bound = kBounds.find(info->name);
      std::printf("%-24s %12lld %12.2f", info->name.c_str(), static_cast<long long>(timed.evaluations), each);
      if (bound == kBounds.end()) {
        std::printf("\n");
        continue;
      }
      std::printf(" %8.0f%s\n", bound->second, each > bound->second ? "  OVER" : "");
      over |= each > bound->second;
    }
    for (const char* name : {"random", "regularized-evolution"}) {
      if (long_search <= 0) break;
      const int64_t grown = growth(nas::find_strategy(name), *space, long_search);
      std::printf("%s: resident memory grew by %lld KiB from evaluation %lld to %lld (bound 1024)\n", name,
                  static_cast<long long>(grown), static_cast<long long>(long_search / 10),
                  static_cast<long long>(long_search));
      over |= grown > 1024;
    }
  } catch (const Error& error) {
    std::fprintf(stderr, "search_bench: %s\n", error.what());
    return 1;
  }
  return enforce && over ? 1 : 0;
}
