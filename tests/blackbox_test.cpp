// `mixop search STRATEGY` for the strategies that ask and are told: refusals, tables, training, resumption; and the
// network of NAS-Bench-201.
#include <signal.h>

#include <random>
#include <thread>

#include "autograd/checkpoint.h"
#include "nas/ledger.h"
#include "nas/search/strategy.h"
#include "nas/space/nb201.h"
#include "nas/table/table.h"
#include "nas/train.h"
#include "tests/support/search_runs.h"

namespace mixop::test {
namespace {

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

void expect_refusal(const Arguments& arguments, int status, const Arguments& parts) {
  const Outcome o = run(Arguments{"search"} + arguments);
  EXPECT_EQ(o.status, status) << o.err;
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << part << " in: " << o.err;
}

nas::NetworkBuilder nb201_network(const std::string& arch, const nas::NetworkScale& scale) {
  return [=](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
    const nas::Nb201Space space;
    return space.build(g, images, stores, space.parse(arch), scale, training);
  };
}

// Accuracy, seconds and latency grow with the 3x3 convolutions.
void write_small_table(const fs::path& path) {
  const nas::Nb201Space space;
  nas::TableContent table{.space = "nb201", .source = "made up", .archs = {}, .columns = {}, .values = {}};
  table.columns = {
      {.name = "val", .unit = "%", .description = "", .dataset = "cifar10", .measure = "val", .epochs = 12},
      {.name = "seconds", .unit = "s", .description = "", .dataset = "cifar10", .measure = "seconds"},
      {.name = "latency", .unit = "ms", .description = ""}};
  table.values.resize(3);
  for (int32_t i = 0; i < 15625; ++i) {
    nas::Arch arch;
    for (int32_t rest = i, e = 0; e < 6; ++e, rest /= 5) arch.push_back(rest % 5);
    const auto convolutions = static_cast<double>(std::count(arch.begin(), arch.end(), 3));
    table.archs.push_back(arch);
    table.values[0].push_back(50 + 5 * convolutions + 1e-4 * i);
    table.values[1].push_back(1 + convolutions);
    table.values[2].push_back(2 + convolutions);
  }
  nas::write_table(path, table);
}

TEST(Nb201Network, ParametersAndMultiplyAddsAreThoseOfTheRecords) {
  // Architectures 0, 11 and 284 (NATS-Bench); their multiply-adds count the classifier's bias as well.
  const struct {
    const char* arch;
    int64_t parameters;
    double macs;
  } records[] = {{"421211", 129306, 15.64737e6}, {"334034", 802426, 113.95137e6}, {"111020", 101306, 11.71521e6}};
  for (const auto& record : records) {
    const auto network = nb201_network(record.arch, {.channels = 16, .cells = 5});
    const nas::NetworkSize size = nas::measure_network(network, 32, 32, 3);
    EXPECT_EQ(size.parameters, record.parameters);
    EXPECT_NEAR(size.macs + 10, record.macs, 5);
  }
}

TEST(Nb201Network, WithoutAnyPathItStillTrains) {
  for (const char* arch : {"000000", "200003", "040300"}) {
    nas::TrainOptions o;
    o.net.height = o.net.width = 8;
    o.net.image_channels = 1;
    o.build = nb201_network(
        arch, {.channels = 2, .cells = 1, .classes = 4, .height = 8, .width = 8, .image_channels = 1});
    nas::NetworkTraining training(o, {2}, {2});
    std::vector<float> images(2 * 64, 0.5f);
    const std::vector<int32_t> labels = {0, 3};
    const nas::Batch batch{.images = images.data(), .labels = labels.data(), .size = 2};
    for (int i = 0; i < 3; ++i) EXPECT_TRUE(std::isfinite(training.step(batch).loss)) << arch;
    EXPECT_TRUE(std::isfinite(training.evaluate(batch).loss)) << arch;
  }
}

TEST(Search, MistakesAreNamed) {
  const TemporaryDirectory dir;
  const Arguments out = {"--out", dir / "run", "--evaluations", "2"};
  expect_refusal({"evolution"}, 2, {"unknown strategy 'evolution'", "darts", "random", "regularized-evolution"});
  expect_refusal({"random", "--poplation", "3"}, 2, {"search random", "--poplation"});
  expect_refusal({"regularized-evolution", "--poplation", "3"}, 2, {"--poplation", "'--population'"});
  expect_refusal({"regularized-evolution", "--population", "0"}, 2, {"--population", "1"});
  expect_refusal(Arguments{"random"} + out, 2, {"--table", "--data"});
  expect_refusal(Arguments{"random", "--data", "mnist", "--table", "x"} + out, 2, {"exclude"});
  expect_refusal({"random", "--data", "synthetic", "--out", dir / "run"}, 2, {"no budget", "--evaluations"});
  expect_refusal(Arguments{"random", "--data", "synthetic", "--space", "nb2001"} + out, 1, {"nb2001", "nb201"});
  expect_refusal(Arguments{"random", "--data", "synthetic:8x8x1:4:96"} + out, 1, {"data.val_images = 5000", "96"});
  expect_refusal(Arguments{"random", "--data", "synthetic:10x8x1:4:96", "--val-images", "32"} + out, 1, {"10x8"});
  expect_refusal(Arguments{"random", "--table", dir / "none.table"} + out, 1, {"none.table"});
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(Search, EveryStrategyRunsOverATable) {
  const TemporaryDirectory dir;
  write_small_table(dir / "small.table");
  for (const nas::StrategyInfo* info : nas::strategies()) {
    const Arguments search = {"search",        info->name, "--table",      dir / "small.table",
                              "--evaluations", "30",       "--objectives", "latency",
                              "--progress",    "none",     "--out",        dir / info->name};
    const Outcome o = run(search);
    EXPECT_EQ(o.status, 0) << info->name << ": " << o.err;
    EXPECT_NE(o.out.find("best architecture: |"), std::string::npos) << info->name << ": " << o.out;
    EXPECT_EQ(evaluations_of(dir / info->name).size(), 30u) << info->name;
    EXPECT_EQ(run({"search", info->name, "--help"}).status, 0);
  }
}

TEST(Search, SeveralAimsHaveAFront) {
  const TemporaryDirectory dir;
  write_small_table(dir / "small.table");
  const Arguments search = {"search",       "nsga2",   "--table",      dir / "small.table",
                            "--objectives", "latency", "--population", "10",
                            "--progress",   "none",    "--out",        dir / "run"};
  ASSERT_EQ(run(search + Arguments{"--evaluations", "60"}).status, 0);
  const std::string front = read(dir / "run" / "front.csv");
  EXPECT_EQ(front.rfind("id,error,latency,architecture\n", 0), 0u) << front;
  EXPECT_GE(std::count(front.begin(), front.end(), '\n'), 3);
  // A resumed search reads its front again.
  ASSERT_EQ(run(search + Arguments{"--evaluations", "61", "--resume"}).status, 0);
  EXPECT_GE(std::count(front.begin(), front.end(), '\n'), 3);
  EXPECT_NE(read(dir / "run" / "front.csv").find(front.substr(front.find('\n') + 1, 20)), std::string::npos);
  const Outcome rewarded =
      run({"search", "random", "--table", dir / "small.table", "--objectives", "latency", "--mnas-latency", "4",
           "--mnas-above", "-1", "--evaluations", "5", "--progress", "none", "--out", dir / "mnas"});
  ASSERT_EQ(rewarded.status, 0) << rewarded.err;
  for (const Json& line : evaluations_of(dir / "mnas")) {
    const double accuracy = 100 - line["objectives"][0].get<double>(), latency = line["objectives"][1];
    EXPECT_NEAR(line["accuracy"], accuracy * std::pow(latency / 4, latency > 4 ? -1 : -0.07), 1e-9);
  }
}

TEST(Search, BudgetsOfATableAreRecordedSeconds) {
  const TemporaryDirectory dir;
  write_small_table(dir / "small.table");
  const auto search = [&](const Arguments& more) {
    return run(Arguments{"search", "regularized-evolution", "--population", "10", "--sample", "3", "--table",
                         dir / "small.table", "--progress", "none", "--force", "--out", dir / "run"} +
               more);
  };
  ASSERT_EQ(search({"--budget-seconds", "2000"}).status, 0);
  std::istringstream lines(read(dir / "run" / "evaluations.jsonl"));
  double seconds = 0, best = 0;
  for (std::string line; std::getline(lines, line);) {
    const Json j = Json::parse(line);
    seconds += j["cost"].get<double>();
    best = std::max(best, j["accuracy"].get<double>());
    EXPECT_NEAR(j["seconds"], seconds, 1e-6);
    EXPECT_EQ(j["best"], best);
  }
  EXPECT_LE(seconds, 2000);
  EXPECT_GT(seconds, 1900);
  ASSERT_EQ(search({"--target", "70"}).status, 0);
  EXPECT_GE(evaluations_of(dir / "run").back()["accuracy"], 70);
  EXPECT_LT(evaluations_of(dir / "run").size(), 500u);
}

void kill_at_random_moments(const Arguments& strategy, unsigned seed) {
  const TemporaryDirectory dir;
  const Arguments search = Arguments{"search"} + strategy +
                           Arguments{"--evaluations", "14", "--workers", "2", "--train-epochs", "3"} + kTiny;
  const nas::Stopwatch watch;
  ASSERT_EQ(run(search + Arguments{"--out", dir / "whole"}).status, 0);
  const double whole = watch.elapsed();  // two kills within 0.4 of it each come before the end on any machine
  std::mt19937 random(seed);
  int killed = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    Command command(search + Arguments{"--out", dir / "killed", "--resume"});
    sleep_for(0.4 * whole * static_cast<double>(random()) / 4294967296.0);
    command.signal(SIGKILL);
    if (command.wait().status == 128 + SIGKILL) ++killed;
  }
  EXPECT_GE(killed, 2);
  const Outcome last = run(search + Arguments{"--out", dir / "killed", "--resume"});
  ASSERT_EQ(last.status, 0) << last.err;
  EXPECT_EQ(evaluations_of(dir / "whole").size(), 14u);
  EXPECT_EQ(evaluations_of(dir / "whole"), evaluations_of(dir / "killed"));
  EXPECT_EQ(read(dir / "whole" / "best.txt"), read(dir / "killed" / "best.txt"));
}

TEST(Search, AfterKillTheSameEvaluations) {
  kill_at_random_moments({"regularized-evolution", "--population", "4", "--sample", "2"}, 1);
}
TEST(Search, AfterKillTheSameEvaluationsWithAController) { kill_at_random_moments({"reinforce"}, 2); }
TEST(Search, AfterKillTheSameEvaluationsWithInheritedWeights) {
  kill_at_random_moments({"large-scale-evolution", "--population", "3"}, 3);
}

TEST(Search, OnlyWeightsThatCanBeInheritedAreKept) {
  const TemporaryDirectory dir;
  const Arguments search =
      Arguments{"search", "large-scale-evolution", "--population", "3", "--evaluations", "20"} + kTiny;
  ASSERT_EQ(run(search + Arguments{"--out", dir / "run"}).status, 0);
  int children = 0;
  for (const Json& line : evaluations_of(dir / "run")) children += line.contains("parent");
  EXPECT_GE(children, 10);
  const auto files = std::distance(fs::directory_iterator(dir / "run" / "weights"), {});
  EXPECT_GE(files, 2);
  EXPECT_LE(files, 14);  // the population, those told since it last shrank, and those of the checkpoint before
  ASSERT_EQ(run(search + Arguments{"--inherit", "no", "--out", dir / "none"}).status, 0);
  EXPECT_FALSE(fs::exists(dir / "none" / "weights"));
}

TEST(Search, ASignalLeavesACheckpointAndStatus75) {
  const TemporaryDirectory dir;
  const Arguments search = Arguments{"search", "random", "--evaluations", "40", "--train-epochs", "5"} + kTiny;
  Command command(search + Arguments{"--out", dir / "run"});
  for (int i = 0; i < 2000 && !fs::exists(dir / "run" / "ckpt" / "latest"); ++i) sleep_for(0.005);
  command.signal(SIGTERM);
  const Outcome o = command.wait();
  ASSERT_EQ(o.status, 75) << o.err;
  EXPECT_NE(o.err.find("mixop search random --resume --out " + (dir / "run").string()), std::string::npos) << o.err;
  const size_t before = evaluations_of(dir / "run").size();
  EXPECT_LT(before, 40u);
  // The line that it prints is enough to go on; the budget may change.
  ASSERT_EQ(run({"search", "random", "--resume", "--out", dir / "run", "--progress", "none", "--evaluations",
                 std::to_string(before + 2)})
                .status,
            0);
  EXPECT_EQ(evaluations_of(dir / "run").size(), before + 2);
  expect_refusal({"regularized-evolution", "--resume", "--out", dir / "run"}, 1, {"mixop search random"});
  expect_refusal({"random", "--resume", "--out", dir / "run", "--channels", "3"}, 1, {"train.channels"});
}

}  // namespace
}  // namespace mixop::test
