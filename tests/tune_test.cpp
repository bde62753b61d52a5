// Measuring implementations: which candidate is taken, that nothing else is touched, and the file that search
// reads.
#include <gtest/gtest.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <set>
#include <thread>

#include "autograd/ops/pool.h"
#include "autograd/tuning.h"
#include "nas/search/darts.h"
#include "tests/support/command.h"

namespace mixop::test {
namespace {

namespace fs = std::filesystem;
using autograd::Choices;
using autograd::Graph;
using autograd::Node;
using autograd::OpDef;
using autograd::Plan;
using autograd::TensorSpec;
using autograd::TensorStore;
using autograd::TunedCall;
using kernels::Call;
using kernels::Impl;

template <int milliseconds>
void nap(const Call&) {
  std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
}
bool never(const Call&) { return false; }
void broken(const Call& call) { kernels::fail("no room for ", call.in[0].shape); }
/// Writes into its input and its scratch memory, as optimisers do.
void scribble(const Call& call) {
  auto* x = call.in[0].as<float>();
  for (int i = 0; i < 3; ++i) x[i] = call.exec->scratch<float>()[i] = 7;
}

template <const Impl* list, size_t n>
OpDef op_of() {
  return {.name = "nap",
          .shape = [](const Graph&, const Node&) { return std::vector<TensorSpec>(); },
          .grad = nullptr,
          .cpu = [] { return std::span<const Impl>(list, n); },
          .effect = true};
}

constexpr Impl kNaps[] = {
    {"slow", kernels::any, nap<4>},  {"broken", kernels::any, broken},
    {"never", never, nap<0>},        {"quick", kernels::any, nap<1>},
    {"quick", kernels::any, nap<2>}, {"scribbling", kernels::any, scribble, [](const Call&) { return size_t{12}; }},
    {"slower", kernels::any, nap<9>}};
const OpDef kNap = op_of<kNaps, std::size(kNaps)>();

constexpr Impl kBreaks[] = {{"broken", kernels::any, broken}, {"quick", kernels::any, nap<0>}};
const OpDef kBreak = op_of<kBreaks, std::size(kBreaks)>();

std::vector<TunedCall> tune_op(const OpDef& op, TensorStore& store, const autograd::TuningOptions& options = {}) {
  Graph g;
  g.add(op, {g.tensor(store, "x", {3}, autograd::Init::constant(1))});
  const Plan plan(g, {{g.size() - 1, 0}}, nullptr, {.threads = 1});
  return autograd::tune({&plan}, options);
}

TEST(Tune, MeasuresWhatWorks) {
  TensorStore store("store", kernels::DType::kF32);
  size_t told = 0;
  autograd::TuningOptions options{.samples = 5};
  options.progress = [&](const TunedCall&, size_t done, size_t all) { told += done == 1 && all == 1; };
  const auto calls = tune_op(kNap, store, options);
  ASSERT_EQ(calls.size(), 1u);
  EXPECT_EQ(told, 1u);
  const TunedCall& call = calls[0];
  EXPECT_EQ(call.uses, 1);
  std::vector<std::string> names;
  for (const auto& c : call.candidates) names.push_back(c.impl);
  EXPECT_EQ(names, (std::vector<std::string>{"slow", "broken", "quick", "scribbling", "slower"}));
  EXPECT_EQ(call.fixed, 0u);
  EXPECT_EQ(call.candidates[1].failure, "no room for [3]");
  EXPECT_GE(call.candidates[0].seconds, 4e-3);
  EXPECT_GE(call.candidates[2].seconds, 1e-3);
  EXPECT_EQ(call.best, best_of(call));
  EXPECT_EQ(autograd::best_choices(calls), (Choices{{call.key, names[call.best]}}));
  store.bind();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(store.flat().as<float>()[i], 1) << "operands of its own";
}

TEST(Tune, ADifferenceWithinTheSpreadChangesNothing) {
  autograd::TunedCall call{.key = "nap", .candidates = {{"fixed", 4e-3, 1e-3}, {"other", 3.5e-3, 1e-4}}};
  EXPECT_EQ(best_of(call), 0u);
  call.candidates[1].seconds = 2e-3;
  EXPECT_EQ(best_of(call), 1u);
  call.candidates[1].spread = 3e-3;
  EXPECT_EQ(best_of(call), 0u);
  call.candidates[1] = {"other", 0, 0, "broken"};
  EXPECT_EQ(best_of(call), 0u);
}

TEST(Tune, CallsOfEqualShapesAreToldApart) {
  Graph g;
  const autograd::Value x = g.input("x", {2, 8, 8, 4});
  std::vector<autograd::Value> asked;
  for (const int k : {3, 5})
    asked.push_back(autograd::max_pool(g, x, {.kernel = {k, k}, .stride = {1, 1}, .pad = {k / 2, k / 2}}));
  const Plan plan(g, asked, nullptr, {.threads = 1});
  ASSERT_EQ(plan.calls().size(), 2u);
  EXPECT_NE(plan.calls()[0].key, plan.calls()[1].key);
}

TEST(Tune, AFixedChoiceThatFailsIsAnError) {
  TensorStore store("store", kernels::DType::kF32);
  EXPECT_THROW(tune_op(kBreak, store), Error);
}

/// The names of the implementations of each call that several accept, in the plans of tuned().
std::map<std::string, std::set<std::string>> alternatives() {
  nas::DartsOptions options;
  options.net.channels = 2;
  options.net.cells = options.net.nodes = options.net.multiplier = 2;
  options.net.classes = 4;
  options.net.height = options.net.width = 16;
  options.net.image_channels = 1;
  const nas::DartsSearch search(options, {{8}, {8}, {8}});
  std::map<std::string, std::set<std::string>> all;
  for (const Plan* plan : {&search.arch_plan(), &search.weight_plan(), &search.eval_plan()})
    for (const Plan::CallInfo& call : plan->calls())
      for (const Impl& impl : call.list)
        if (impl.accepts(call.call)) all[call.key].insert(impl.name);
  std::erase_if(all, [](const auto& entry) { return entry.second.size() < 2; });
  return all;
}

const std::vector<std::string> kSizes = {"--channels", "2", "--cells", "2", "--nodes", "2", "--batch", "8"};

std::vector<std::string> with_sizes(std::vector<std::string> arguments) {
  arguments.insert(arguments.end(), kSizes.begin(), kSizes.end());
  return arguments;
}
std::vector<std::string> search(const fs::path& out, const fs::path& tuning) {
  return with_sizes({"search", "darts", "--data", "synthetic:16x16x1:4:64", "--epochs", "1", "--max-steps", "1",
                     "--progress", "none", "--out", out, "--tuning", tuning});
}

TEST(TuneCommand, SearchTakesWhatItWrites) {
  const TemporaryDirectory dir;
  const fs::path file = dir / "tuned.txt";
  const Outcome o = run(with_sizes({"tune", "supernet", "--image", "16x16x1", "--classes", "4", "--out", file}));
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(read(file).rfind("# mixop ", 0), 0u);
  const Choices choices = autograd::parse_choices(read(file), "tuned.txt");
  const auto expected = alternatives();
  ASSERT_GT(expected.size(), 50u);
  EXPECT_EQ(choices.size(), expected.size());
  for (const auto& [key, names] : expected) {
    ASSERT_TRUE(choices.count(key)) << key;
    EXPECT_TRUE(names.count(choices.at(key))) << key << " " << choices.at(key);
    EXPECT_NE(o.out.find(key + "  ("), std::string::npos) << key;
  }

  // Other choices than the fixed ones, to see that they arrive.
  Choices plain = choices;
  for (auto& [key, impl] : plain) impl = "ref";
  write(file, "# by hand\n\n" + autograd::format_choices(plain));
  const Outcome searched = run(search(dir / "run", file));
  ASSERT_EQ(searched.status, 0) << searched.err;
  const auto used = nlohmann::json::parse(read(dir / "run" / "run.json"))["implementations"].get<Choices>();
  for (const auto& [key, impl] : plain) EXPECT_EQ(used.at(key), "ref") << key;
}

TEST(TuneCommand, RefusalsAreOneLine) {
  const TemporaryDirectory dir;
  const auto expect_refusal = [](const std::vector<std::string>& arguments, const std::string& part) {
    const Outcome o = run(arguments);
    EXPECT_EQ(o.status, 1);
    EXPECT_NE(o.err.find(part), std::string::npos) << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  };
  const fs::path file = dir / "tuned.txt";
  expect_refusal(search(dir / "run", file), "tuned.txt");
  write(file, "# fine\nconv2d [8,16,16,1]/1 pointwise\n");
  expect_refusal(search(dir / "run", file), "tuned.txt:2: expected a call, a tab");
  EXPECT_FALSE(fs::exists(dir / "run"));
  expect_refusal({"tune", "supernet", "--out", dir / "none" / "tuned.txt"}, "not a directory");
}

}  // namespace
}  // namespace mixop::test
