// Whole runs on a CUDA device: the same bits with and without a captured graph, with images resident or fed, and
// after kill -9; and what is said when a device will not do. On a real device (ctest cuda.run), or with the command
// that has an emulated one (emulated.run).
#include <signal.h>

#include <chrono>
#include <cmath>
#include <thread>

#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

const Arguments kDevice = {"--device", "cuda"};
const Arguments kShort = kSearch + kDevice + Arguments{"--epochs", "2", "--crop", "--flip", "--cutout", "4"};

/// Sets a variable for the commands started while it lives.
class Variable {
 public:
  Variable(const char* name, const char* value) : name_(name) { setenv(name, value, 1); }
  ~Variable() { unsetenv(name_); }

 private:
  const char* name_;
};

class CudaRun : public testing::Test {
 protected:
  void SetUp() override {
    const Outcome o =
        run({"search", "darts", "--device", "cuda", "--dry-run", "--data", "synthetic", "--out", dir_ / "none"});
    if (o.status == 0) return;
    ASSERT_EQ(std::getenv("MIXOP_COMMAND"), nullptr) << "the emulated device does not start: " << o.err;
    GTEST_SKIP() << "no CUDA device here: " << o.err;
  }
  Result result(const std::string& name, const Arguments& arguments) {
    const Outcome o = run(arguments + Arguments{"--out", dir_ / name});
    EXPECT_EQ(o.status, 0) << o.err;
    return result_of(dir_ / name);
  }
  TemporaryDirectory dir_;
};

TEST_F(CudaRun, SearchHasTheSameBitsHoweverItRuns) {
  const Result once = result("once", kShort);
  expect_equal(once, result("again", kShort));
  expect_equal(once, result("nodes", kShort + Arguments{"--no-graph"}));
  expect_equal(once, result("fed", kShort + Arguments{"--no-data-on-device"}));
}

TEST_F(CudaRun, TrainingHasTheSameBitsHoweverItRuns) {
  const Arguments shorter = kTrain + kDevice + Arguments{"--epochs", "2"};
  const Result once = result("once", shorter);
  expect_equal(once, result("nodes", shorter + Arguments{"--no-graph"}));
  expect_equal(once, result("fed", shorter + Arguments{"--no-data-on-device"}));
}

/// The losses that both runs logged, as pairs.
std::vector<std::pair<double, double>> losses(const std::string& a, const std::string& b) {
  std::istringstream first(a), second(b);
  std::vector<std::pair<double, double>> pairs;
  for (std::string x, y; std::getline(first, x) && std::getline(second, y);)
    pairs.emplace_back(Json::parse(x).at("loss"), Json::parse(y).at("loss"));
  return pairs;
}

TEST_F(CudaRun, FirstStepsAgreeWithTheCpu) {
  const Arguments steps = {"--max-steps", "5"};
  result("cuda", kShort + steps);
  result("cpu", kShort + Arguments{"--device", "cpu"} + steps);
  const auto pairs = losses(read(dir_ / "cuda" / "metrics.jsonl"), read(dir_ / "cpu" / "metrics.jsonl"));
  for (const auto& [got, want] : pairs) EXPECT_LT(std::abs(got - want), 1e-4 * want);
  EXPECT_GE(pairs.size(), 10u);  // two phases a step
}

TEST_F(CudaRun, ActivationsStoredAsBfloat16) {
  const Arguments steps = kShort + Arguments{"--max-steps", "5"}, stored = steps + Arguments{"--storage", "bf16"};
  const Result once = result("graph", stored);
  expect_equal(once, result("nodes", stored + Arguments{"--no-graph"}));
  result("float32", steps);
  const auto pairs = losses(read(dir_ / "graph" / "metrics.jsonl"), read(dir_ / "float32" / "metrics.jsonl"));
  ASSERT_GE(pairs.size(), 10u);
  bool equal = true;
  for (size_t i = 0; i < 10; ++i) {
    EXPECT_LT(std::abs(pairs[i].first - pairs[i].second), 0.02 * pairs[i].second) << i;
    equal = equal && pairs[i].first == pairs[i].second;
  }
  EXPECT_FALSE(equal);
  const Outcome other = run(steps + Arguments{"--storage", "float32", "--resume", "--out", dir_ / "graph"});
  EXPECT_EQ(other.status, 1);
  EXPECT_NE(other.err.find("run.storage"), std::string::npos) << other.err;
}

TEST_F(CudaRun, KilledAndResumedHasTheSameBits) {
  const Result whole = result("whole", kShort);
  int killed = 0;
  for (int attempt = 0; attempt < 6; ++attempt) {
    Command command(kShort + Arguments{"--out", dir_ / "killed", "--resume"});
    std::this_thread::sleep_for(std::chrono::milliseconds(150 + 170 * attempt));
    command.signal(SIGKILL);
    if (command.wait().status == 128 + SIGKILL) ++killed;
  }
  EXPECT_GE(killed, 1);
  expect_equal(whole, result("killed", kShort + Arguments{"--resume"}));
}

TEST_F(CudaRun, ResumeTakesTheImplementationsThatWereRecorded) {
  result("run", kShort + Arguments{"--max-steps", "1"});
  auto stored = nlohmann::ordered_json::parse(read(dir_ / "run" / "run.json"));
  ASSERT_FALSE(stored.at("implementations").empty());
  for (auto& [call, implementation] : stored["implementations"].items())
    if (call.starts_with("conv2d ")) implementation = "direct";
  write(dir_ / "run" / "run.json", stored.dump());
  const Arguments resume = kShort + Arguments{"--resume", "--out", dir_ / "run", "--max-steps", "2"};
  const Outcome direct = run(resume);
  EXPECT_EQ(direct.status, 0) << direct.err;
  for (auto& [call, implementation] : stored["implementations"].items()) implementation = "of-another-machine";
  write(dir_ / "run" / "run.json", stored.dump());
  const Outcome o = run(resume);
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.err.find("of-another-machine"), std::string::npos) << o.err;
}

TEST_F(CudaRun, TooLittleMemoryIsSaidBeforeTheFirstStep) {
  if (!std::getenv("MIXOP_COMMAND")) GTEST_SKIP() << "only the emulated device can be made small";
  const Variable small("MIXOP_EMULATION_MEMORY", "1000000");
  const Outcome o = run(kShort + Arguments{"--out", dir_ / "run"});
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.err.find("out of GPU memory: the plans need"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("--batch"), std::string::npos) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

TEST_F(CudaRun, ADeviceThatWillNotDoIsOneLine) {
  if (!std::getenv("MIXOP_COMMAND")) GTEST_SKIP() << "only the emulated device can be taken away";
  struct Trouble {
    const char *variable, *value, *message;
  };
  for (const Trouble& t :
       {Trouble{"MIXOP_EMULATION_DEVICES", "0", "no NVIDIA GPU was found"},
        Trouble{"MIXOP_EMULATION_DRIVER", "0", "no NVIDIA driver is loaded"},
        Trouble{"MIXOP_EMULATION_DRIVER", "12040", "supports CUDA 12.4, older than CUDA 13.0"},
        Trouble{"MIXOP_EMULATION_CODE", "0", "no kernels for emulated (compute capability 9.0)"}}) {
    const Variable set(t.variable, t.value);
    const Outcome o = run(kShort + Arguments{"--out", dir_ / "run"});
    EXPECT_EQ(o.status, 1);
    EXPECT_NE(o.err.find(t.message), std::string::npos) << o.err;
    EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  }
}

TEST(DeviceOption, OnlyAGpuStoresBfloat16) {
  const TemporaryDirectory dir;
  const Outcome o = run({"search", "darts", "--storage", "bf16", "--data", "synthetic", "--out", dir / "run"});
  EXPECT_EQ(o.status, 2);
  EXPECT_NE(o.err.find("--storage bf16 needs a GPU"), std::string::npos) << o.err;
}

TEST(DeviceOption, AWrongNumberOrWordIsOneLine) {
  const TemporaryDirectory dir;
  for (const char* device : {"cuda:99", "gpu", "cuda:x"}) {
    const Outcome o = run({"search", "darts", "--device", device, "--data", "synthetic", "--out", dir / "run"});
    EXPECT_NE(o.status, 0) << device;
    EXPECT_NE(o.err.find("--device"), std::string::npos) << o.err;
  }
}

}  // namespace
}  // namespace mixop::test
