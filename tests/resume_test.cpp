// A run that was killed or stopped and resumed ends with the bits, metrics and counts of one that was not.
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>

#include <chrono>
#include <nlohmann/json.hpp>
#include <random>
#include <thread>

#include "tests/support/command.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

namespace fs = std::filesystem;
double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

void sleep_for(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

// Waits until the run has a checkpoint, at most 20 s.
void await_checkpoint(const fs::path& run) {
  for (int i = 0; i < 2000 && !fs::exists(run / "ckpt" / "latest"); ++i) sleep_for(0.01);
}

void kill_at_random_moments(const Arguments& arguments, unsigned seed) {
  const TemporaryDirectory dir;
  const auto start = std::chrono::steady_clock::now();
  const Outcome whole = run(arguments + Arguments{"--out", dir / "whole"});
  const double duration = seconds_since(start);
  ASSERT_EQ(whole.status, 0) << whole.err;

  std::mt19937 random(seed);
  int killed = 0;
  for (int attempt = 0; attempt < 8; ++attempt) {
    Command command(arguments + Arguments{"--out", dir / "killed", "--resume"});
    sleep_for(duration * 0.35 * static_cast<double>(random()) / 4294967296.0);
    command.signal(SIGKILL);
    if (command.wait().status == 128 + SIGKILL) ++killed;
  }
  EXPECT_GE(killed, 3);
  const Outcome last = run(arguments + Arguments{"--out", dir / "killed", "--resume"});
  ASSERT_EQ(last.status, 0) << last.err;
  expect_equal(result_of(dir / "whole"), result_of(dir / "killed"));
}

TEST(Resume, SearchAfterKill) { kill_at_random_moments(kSearch, 1); }
TEST(Resume, SearchAfterKillOnceMore) { kill_at_random_moments(kSearch, 2); }
TEST(Resume, TrainAfterKill) { kill_at_random_moments(kTrain, 3); }

TEST(Resume, SignalsLeaveACheckpointAndStatus75) {
  const TemporaryDirectory dir;
  const Arguments longer = kSearch + Arguments{"--set", "search.epochs=12"};
  ASSERT_EQ(run(longer + Arguments{"--out", dir / "whole"}).status, 0);
  int interrupted = 0;
  for (const int number : {SIGTERM, SIGINT, SIGUSR1}) {
    Command command(longer + Arguments{"--out", dir / "stopped", "--resume"});
    for (int i = 0; i < 2000 && !fs::exists(dir / "stopped" / "log.txt"); ++i) sleep_for(0.005);
    sleep_for(0.06);
    command.signal(number);
    const Outcome o = command.wait();
    if (o.status != 75) continue;  // it had ended by itself
    ++interrupted;
    EXPECT_NE(o.err.find("checkpoint after step"), std::string::npos) << o.err;
    EXPECT_NE(o.err.find("mixop search darts --resume --out " + (dir / "stopped").string()), std::string::npos);
  }
  EXPECT_GE(interrupted, 1);
  // The line that it prints is enough to go on: everything else is taken from the run.
  ASSERT_EQ(run({"search", "darts", "--resume", "--out", dir / "stopped", "--progress", "none"}).status, 0);
  expect_equal(result_of(dir / "whole"), result_of(dir / "stopped"));
}

TEST(Resume, MaxStepsStopsInTheMiddleOfAnEpoch) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kTrain + Arguments{"--out", dir / "whole"}).status, 0);
  for (const char* steps : {"1", "5", "8", "9"}) {
    const Outcome o = run(kTrain + Arguments{"--out", dir / "parts", "--resume", "--max-steps", steps});
    ASSERT_EQ(o.status, 0) << o.err;
    EXPECT_NE(o.err.find("stopped after step " + std::string(steps)), std::string::npos) << o.err;
  }
  ASSERT_EQ(run(kTrain + Arguments{"--out", dir / "parts", "--resume"}).status, 0);
  expect_equal(result_of(dir / "whole"), result_of(dir / "parts"));
  const std::string before = read(dir / "parts" / "ckpt" / "latest" / "weights.safetensors");
  EXPECT_EQ(run(kTrain + Arguments{"--out", dir / "parts", "--resume"}).status, 0);  // nothing left to do
  EXPECT_EQ(before, read(dir / "parts" / "ckpt" / "latest" / "weights.safetensors"));
}

TEST(Resume, ADamagedCheckpointFallsBackToTheOneBefore) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "whole"}).status, 0);
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "hurt", "--max-steps", "7"}).status, 0);
  const fs::path file = fs::canonical(dir / "hurt" / "ckpt" / "latest") / "optim.safetensors";
  std::string bytes = read(file);
  bytes[bytes.size() / 2] ^= 1;
  write(file, bytes);
  const Outcome o = run(kSearch + Arguments{"--out", dir / "hurt", "--resume"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_NE(o.err.find("warning"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("optim.safetensors"), std::string::npos) << o.err;
  expect_equal(result_of(dir / "whole"), result_of(dir / "hurt"));
}

TEST(Resume, WhenAllCheckpointsAreDamagedNothingIsTouched) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "hurt", "--max-steps", "3", "--keep", "1"}).status, 0);
  const std::string metrics = read(dir / "hurt" / "metrics.jsonl");
  write(dir / "hurt" / "ckpt" / "000003" / "state.json", "{}");
  const Outcome o = run(kSearch + Arguments{"--out", dir / "hurt", "--resume"});
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.err.find("state.json"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("--force"), std::string::npos) << o.err;
  EXPECT_EQ(read(dir / "hurt" / "metrics.jsonl"), metrics);
}

TEST(Resume, ChangedDataIsRefused) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "run", "--max-steps", "1"}).status, 0);
  const fs::path file = dir / "run" / "run.json";
  Json run_json = Json::parse(read(file));
  run_json["data"]["train"]["checksum"] = "00000000";
  write(file, run_json.dump());
  const Outcome o = run(kSearch + Arguments{"--out", dir / "run", "--resume"});
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.err.find("the data changed"), std::string::npos) << o.err;
}

TEST(Resume, OneProcessAtATime) {
  const TemporaryDirectory dir;
  Command first(kSearch + Arguments{"--out", dir / "run", "--set", "search.epochs=5000"});
  await_checkpoint(dir / "run");
  const Outcome second = run(kSearch + Arguments{"--out", dir / "run", "--set", "search.epochs=5000", "--resume"});
  EXPECT_EQ(second.status, 1);
  EXPECT_NE(second.err.find("another process"), std::string::npos) << second.err;
  first.signal(SIGKILL);
  EXPECT_EQ(first.wait().status, 128 + SIGKILL);
}

TEST(Resume, AFullDiskIsOneLineAndTheOlderCheckpointStays) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "run", "--max-steps", "2"}).status, 0);
  // A file size limit stands in for the disk: files above it cannot be written.
  rlimit before;
  getrlimit(RLIMIT_FSIZE, &before);
  const rlimit small = {2048, before.rlim_max};
  setrlimit(RLIMIT_FSIZE, &small);
  Command command(kSearch + Arguments{"--out", dir / "run", "--resume"});
  setrlimit(RLIMIT_FSIZE, &before);
  const Outcome o = command.wait();
  EXPECT_EQ(o.status, 1) << o.err;
  EXPECT_NE(o.err.find("cannot write"), std::string::npos) << o.err;
  EXPECT_EQ(fs::read_symlink(dir / "run" / "ckpt" / "latest"), "000002");
  EXPECT_EQ(run(kSearch + Arguments{"--out", dir / "run", "--resume"}).status, 0);
}

}  // namespace
}  // namespace mixop::test
