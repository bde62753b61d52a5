// Candidates trained in processes: the number of processes changes nothing, one that crashes, hangs, fails or
// diverges is a failed candidate, none outlives its search, and children inherit weights.
#include <signal.h>

#include <cstdlib>
#include <fstream>
#include <thread>

#include "autograd/checkpoint.h"
#include "autograd/files.h"
#include "nas/cli/candidate_training.h"
#include "nas/space/nb201.h"
#include "tests/support/search_runs.h"

namespace mixop::test {
namespace {

const Arguments kRandom = Arguments{"search", "random", "--evaluations", "8"} + kTiny;

struct Faults {
  explicit Faults(const char* list) { setenv("MIXOP_CANDIDATE_FAULT", list, 1); }
  ~Faults() { unsetenv("MIXOP_CANDIDATE_FAULT"); }
};

// Running processes with that text in their arguments.
int processes_with(const std::string& text) {
  int n = 0;
  for (const auto& entry : fs::directory_iterator("/proc")) {
    std::ifstream in(entry.path() / "cmdline", std::ios::binary);
    const std::string line((std::istreambuf_iterator<char>(in)), {});
    n += line.find(text) != std::string::npos;
  }
  return n;
}

bool becomes(int wanted, const std::string& text) {
  for (int i = 0; i < 2000; ++i) {
    if (processes_with(text) == wanted) return true;
    std::this_thread::sleep_for(std::chrono::milliseconds(5));
  }
  return false;
}

TEST(Workers, AnyNumberGivesTheSameEvaluations) {
  const TemporaryDirectory dir;
  const Arguments search =
      Arguments{"search", "regularized-evolution", "--population", "3", "--sample", "2", "--evaluations", "12"} +
      kTiny;
  for (const char* workers : {"1", "3"})
    ASSERT_EQ(run(search + Arguments{"--workers", workers, "--out", dir / workers}).status, 0);
  EXPECT_EQ(evaluations_of(dir / "1").size(), 12u);
  EXPECT_EQ(evaluations_of(dir / "1"), evaluations_of(dir / "3"));
}

TEST(Workers, FaultsFailACandidateAndNoMore) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kRandom + Arguments{"--out", dir / "sound"}).status, 0);
  const Faults faults("0:kill,2:hang,3:fail,5:diverge");
  const Outcome o = run(kRandom + Arguments{"--workers", "3", "--candidate-limit", "3", "--out", dir / "faulty"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_NE(o.out.find("8 evaluations, 4 failed"), std::string::npos) << o.out;
  const auto sound = evaluations_of(dir / "sound"), faulty = evaluations_of(dir / "faulty");
  ASSERT_EQ(faulty.size(), 8u);
  const std::map<size_t, std::string> reasons = {{0, "was killed by signal 9"},
                                                 {2, "took longer than 3 s (--candidate-limit)"},
                                                 {3, "ended with status 1: candidate 3 fails on request"},
                                                 {5, "diverged"}};
  for (size_t i = 0; i < 8; ++i) {
    EXPECT_EQ(faulty[i]["arch"], sound[i]["arch"]);
    if (const auto reason = reasons.find(i); reason != reasons.end()) {
      EXPECT_NE(faulty[i].value("failed", "").find(reason->second), std::string::npos) << faulty[i].dump();
      EXPECT_EQ(faulty[i]["accuracy"], 0);
    } else {
      EXPECT_EQ(faulty[i]["accuracy"], sound[i]["accuracy"]);
      EXPECT_FALSE(faulty[i].contains("failed")) << faulty[i].dump();
    }
  }
  EXPECT_TRUE(fs::is_empty(dir / "faulty" / "jobs"));
}

TEST(Workers, StopEarlyAtChance) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kRandom + Arguments{"--train-epochs", "2", "--early-stop", "4", "--out", dir / "run"}).status, 0);
  for (const Json& line : evaluations_of(dir / "run"))  // four times chance is 100 %
    EXPECT_NE(line.value("failed", "").find("after the first epoch, chance is 25.00 %"), std::string::npos) << line;
}

TEST(Workers, NoneOutlivesItsSearch) {
  const TemporaryDirectory dir;
  const std::string jobs = (dir / "run" / "jobs").string();
  const Faults faults("0:hang,1:hang");
  for (const int number : {SIGKILL, SIGTERM}) {
    Command command(kRandom + Arguments{"--workers", "2", "--resume", "--out", dir / "run"});
    ASSERT_TRUE(becomes(2, jobs));
    command.signal(number);
    command.wait();
    EXPECT_TRUE(becomes(0, jobs));
  }
}

// Trains a candidate with those learning rates and returns its weights by name.
std::map<std::string, std::vector<float>> train(cli::CandidateWorkers::Options options,
                                                const nas::Candidate& candidate, double lr) {
  options.config["train"]["lr"] = lr;
  const nas::Nb201Space space;
  cli::CandidateWorkers workers(options);
  workers.start(candidate);
  const nas::Outcome outcome = workers.finish();
  EXPECT_FALSE(outcome.failed) << outcome.reason;
  nas::Stores stores(kernels::DType::kF32, 0);
  nas::Graph g;
  space.build(g, g.input("images", {1, 8, 8, 1}), stores, candidate.arch,
              {.channels = 2, .cells = 1, .classes = 4, .height = 8, .width = 8, .image_channels = 1}, true);
  for (autograd::TensorStore* store : stores.all()) store->bind();
  const fs::path file = options.run / "weights" / ("00000" + std::to_string(candidate.id) + ".safetensors");
  autograd::from_safetensors(autograd::read_file(file), file, {&stores.weights, &stores.state});
  std::map<std::string, std::vector<float>> weights;
  for (const auto& e : stores.weights.entries()) {
    const kernels::View view = stores.weights.view(stores.weights.find(e.name));
    weights[e.name].assign(view.as<float>(), view.as<float>() + e.shape.elements());
  }
  return weights;
}

TEST(Workers, ChildrenBeginWithTheWeightsThatFit) {
  const TemporaryDirectory dir;
  const cli::CandidateWorkers::Options options{
      .run = dir.path(),
      .command = {MIXOP_BINARY, "evaluate-candidate", "--threads", "1"},
      .config = {{"search", {{"space", "nb201"}, {"seed", 0}}},
                 {"train", {{"channels", 2}, {"batch", 16}}},
                 {"data",
                  {{"name", "synthetic:8x8x1:4:96"}, {"val_images", 32}, {"crop", false}, {"flip", false}}}},
      .keep_weights = true};
  const auto parent = train(options, {.id = 0, .arch = {3, 3, 1, 1, 1, 1}}, 0.05);
  // With a learning rate of 0 a child ends where it began.
  const auto child = train(options, {.id = 1, .arch = {3, 2, 1, 1, 1, 1}, .parent = 0}, 0);
  const auto orphan = train(options, {.id = 2, .arch = {3, 2, 1, 1, 1, 1}}, 0);
  int inherited = 0;
  for (const auto& [name, values] : child) {
    const bool fits = parent.contains(name);
    EXPECT_EQ(fits, name.find("nor_conv_1x1") == std::string::npos) << name;
    if (fits) {
      EXPECT_EQ(values, parent.at(name)) << name;
    } else {
      EXPECT_EQ(values.size(), orphan.at(name).size());
    }
    if (fits && name.ends_with(".w")) {
      EXPECT_NE(values, orphan.at(name)) << name;
    }
    inherited += fits;
  }
  EXPECT_GT(inherited, 10);

  cli::CandidateWorkers workers(options);
  workers.keep_only({1});
  EXPECT_FALSE(fs::exists(dir / "weights" / "000000.safetensors"));
  EXPECT_TRUE(fs::exists(dir / "weights" / "000001.safetensors"));
  EXPECT_FALSE(fs::exists(dir / "weights" / "000002.safetensors"));
}

}  // namespace
}  // namespace mixop::test
