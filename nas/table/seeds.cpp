#include "nas/table/seeds.h"

#include <cmath>
#include <exception>

#include "kernels/core/check.h"
#include "kernels/core/parallel.h"

namespace mixop::nas {
namespace {

SearchRun run_seed(const Table& table, const TableSearch& search, const StrategyChoice& choice, uint64_t seed) {
  TableProtocol protocol = search.protocol;
  protocol.seed = seed;
  TableEvaluator evaluator(table, protocol);
  const auto strategy = choice.info->make(table.space(), choice.settings, seed);
  SearchRun run;
  std::pair<int, double> best{};  // schedule, accuracy
  SearchLoop loop(*strategy, evaluator, search.budget, [&](const Evaluated& e, const SearchLoop& now) {
    const std::pair rank(evaluator.schedule(e.candidate.epochs), e.outcome.accuracy);
    if (e.outcome.failed || (!run.improvements.empty() && rank <= best)) return;
    best = rank;
    run.improvements.push_back({now.seconds(), now.evaluations(), *table.find(e.candidate.arch)});
  });
  loop.run();
  run.seconds = loop.seconds();
  run.evaluations = loop.evaluations();
  run.failures = loop.failures();
  MIXOP_CHECK(!run.improvements.empty(), choice.label, " with seed ", seed, " found nothing in ", run.evaluations,
              " evaluations that the table knows; give it a larger budget");
  return run;
}

}  // namespace

StrategyChoice parse_strategy(const std::string& text) {
  const size_t colon = std::min(text.find(':'), text.size());
  const StrategyInfo& info = find_strategy(text.substr(0, colon));
  StrategyChoice choice{text, &info, Settings(info.settings)};
  for (size_t at = colon + 1; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = item.find('=');
    MIXOP_CHECK(equals != std::string::npos, "strategy ", info.name, ": '", item, "' should be SETTING=VALUE");
    choice.settings.set(item.substr(0, equals), item.substr(equals + 1));
    at = end + 1;
  }
  return choice;
}

std::vector<StrategyChoice> parse_strategies(const std::string& text) {
  std::vector<std::string> parts;
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    // What has a value but no name of a strategy before it is one more setting.
    if (!parts.empty() && item.find('=') != std::string::npos && item.find(':') == std::string::npos)
      parts.back() += "," + item;
    else parts.push_back(item);
    at = end + 1;
  }
  std::vector<StrategyChoice> choices;
  for (const std::string& part : parts) choices.push_back(parse_strategy(part));
  return choices;
}

std::vector<SearchRun> run_seeds(const Table& table, const TableSearch& search, const StrategyChoice& choice,
                                 int seeds, int threads) {
  const auto n = static_cast<size_t>(seeds);
  std::vector<SearchRun> runs(n);
  std::vector<std::exception_ptr> errors(n);
  kernels::parallel_for(kernels::Exec{.threads = threads}, seeds, [&](int64_t seed, int) {
    const auto i = static_cast<size_t>(seed);
    try {
      runs[i] = run_seed(table, search, choice, static_cast<uint64_t>(seed));
    } catch (...) {
      errors[i] = std::current_exception();
    }
  });
  for (const std::exception_ptr& error : errors)
    if (error) std::rethrow_exception(error);
  return runs;
}

Figure figure_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  double mean = 0, squares = 0;
  for (const double v : values) mean += v / n;
  for (const double v : values) squares += (v - mean) * (v - mean);
  return {mean, n > 1 ? std::sqrt(squares / (n - 1)) : 0};
}

}  // namespace mixop::nas
