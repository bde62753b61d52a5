// The command as a user meets it: refusals with their message and status, configuration, and what a run leaves.
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "tests/support/command.h"

namespace mixop::test {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;
using Arguments = std::vector<std::string>;

Arguments operator+(Arguments a, const Arguments& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// 4 steps an epoch, a few milliseconds each.
const Arguments kSearch = {"search",     "darts", "--data",     "synthetic:16x16x1:4:64",
                           "--channels", "2",     "--cells",    "2",
                           "--nodes",    "2",     "--batch",    "8",
                           "--epochs",   "1",     "--progress", "none"};
const Arguments kTrain = {"train",
                          "--arch",
                          "DARTS_V2",
                          "--data",
                          "synthetic:16x16x1:4:64",
                          "--layers",
                          "2",
                          "--init-channels",
                          "4",
                          "--batch",
                          "16",
                          "--epochs",
                          "2",
                          "--progress",
                          "none"};

// What --arch takes to read a file.
std::string file_of(const fs::path& path) { return std::string("@").append(path.string()); }

size_t lines(const std::string& text) { return static_cast<size_t>(std::count(text.begin(), text.end(), '\n')); }

// One line on stderr that holds all parts, and the status.
void expect_refusal(const Arguments& arguments, int status, const Arguments& parts) {
  const Outcome o = run(arguments);
  EXPECT_EQ(o.status, status) << o.err;
  EXPECT_EQ(lines(o.err), 1u) << o.err;
  EXPECT_EQ(o.err.rfind("mixop: ", 0), 0u) << o.err;
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << part << " in: " << o.err;
}

TEST(Usage, EachMistakeIsNamedWithTheNearestRightThing) {
  const TemporaryDirectory dir;
  const Arguments out = {"--out", dir / "run"};
  expect_refusal({}, 2, {"subcommand"});
  expect_refusal({"serch"}, 2, {"serch", "'search'"});
  expect_refusal({"search"}, 2, {"no strategy", "darts"});
  expect_refusal({"search", "evolution"}, 2, {"evolution", "darts"});
  expect_refusal(kSearch + out + Arguments{"--epohcs", "5"}, 2, {"--epohcs", "--epochs"});
  expect_refusal(kSearch + out + Arguments{"--lr", "fast"}, 2, {"--lr", "fast", "number"});
  expect_refusal(kSearch + out + Arguments{"--lr", "nan"}, 2, {"--lr", "nan"});
  expect_refusal(kSearch + out + Arguments{"--cells", "0"}, 2, {"--cells", "0", "1..1000"});
  expect_refusal(kSearch + out + Arguments{"--sampler", "twice"}, 2,
                 {"--sampler", "twice", "with_replacement, epoch"});
  expect_refusal(kSearch + out + Arguments{"--ckpt-every", "2weeks"}, 2, {"ckpt_every", "2weeks", "1ep"});
  expect_refusal(kSearch + out + Arguments{"--device", "tpu"}, 2, {"tpu", "cpu"});
  expect_refusal(kSearch + out + Arguments{"--set", "weights.lrr=1"}, 2, {"weights.lrr", "'weights.lr'"});
  expect_refusal(kSearch + out + Arguments{"--set", "weights.lr"}, 2, {"weights.lr", "key=value"});
  expect_refusal(kSearch + out + Arguments{"--resume", "--force"}, 2, {"--force"});
  expect_refusal({"train"}, 2, {"--arch"});
  expect_refusal({"train", "--arch", "DARTS_V2", "--cutout"}, 2, {"--cutout"});
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(Usage, ConfigFileMistakesNameFileAndLine) {
  const TemporaryDirectory dir;
  const fs::path file = dir / "c.toml";
  const Arguments arguments = kSearch + Arguments{"--out", dir / "run", "--config", file};
  expect_refusal(arguments, 2, {"c.toml"});
  write(file, "[weights]\nlr = 0.1\nmomentun = 0.5\n");
  expect_refusal(arguments, 2, {"c.toml:3", "weights.momentun", "'weights.momentum'"});
  write(file, "[weights]\nlr = = 3\n");
  expect_refusal(arguments, 2, {"c.toml:2"});
  write(file, "search = { epochs = 0.5 }\n");
  expect_refusal(arguments, 2, {"c.toml:1", "0.5", "whole number"});
}

TEST(Refusal, BadDataAndDevicesLeaveNothingBehind) {
  const TemporaryDirectory dir;
  const auto search = [&](const Arguments& more) {
    return Arguments{"search", "darts", "--channels", "2", "--cells", "2", "--out", dir / "run"} + more;
  };
  expect_refusal(search({"--data", "imagenet22k"}), 1, {"imagenet22k", "fashion-mnist"});
  expect_refusal(search({"--data", "cifar10", "--data-root", dir / "none"}), 1, {"none"});
  expect_refusal(search({"--data", "synthetic:18x18x1:4:64"}), 1, {"18x18", "divisible by 4"});
  expect_refusal(search({"--data", "synthetic:16x16x1:4:64", "--train-images", "65"}), 1,
                 {"data.train_images", "64"});
  expect_refusal(search({"--data", "synthetic:16x16x1:4:64", "--device", "cuda:99"}), 1, {"--device c"});
  expect_refusal({"train", "--arch", "DARTS_V9", "--out", dir / "run"}, 1, {"DARTS_V9", "DARTS_V2"});
  expect_refusal({"train", "--arch", "Genotype(normal=[('sep_conv_9x9', 0)])", "--out", dir / "run"}, 1,
                 {"sep_conv_9x9"});
  expect_refusal({"train", "--arch", file_of(dir / "no.txt"), "--out", dir / "run"}, 1, {"no.txt"});
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(Refusal, DirectoriesThatAreNotOursToUse) {
  const TemporaryDirectory dir;
  fs::create_directory(dir / "full");
  write(dir / "full" / "thesis.txt", "text");
  const auto at = [&](const fs::path& out, const Arguments& more = {}) {
    return kSearch + Arguments{"--out", out} + more;
  };
  expect_refusal(at(dir / "full"), 1, {"full", "not empty"});
  expect_refusal(at(dir / "full", {"--force"}), 1, {"run.json"});
  expect_refusal(at(dir / "full", {"--resume"}), 1, {"run.json"});
  EXPECT_EQ(read(dir / "full" / "thesis.txt"), "text");
  expect_refusal(at(dir / "full" / "thesis.txt"), 1, {"thesis.txt", "not a directory"});
  expect_refusal(at("/proc/mixop"), 1, {"/proc/mixop"});  // read-only for root as well
}

TEST(Refusal, AnExistingRunNeedsResumeOrForce) {
  const TemporaryDirectory dir;
  const Arguments arguments = kSearch + Arguments{"--out", dir / "run"};
  ASSERT_EQ(run(arguments).status, 0);
  const std::string before = read(dir / "run" / "run.json");
  expect_refusal(arguments, 1, {"run", "--resume", "--force"});
  EXPECT_EQ(read(dir / "run" / "run.json"), before);
  expect_refusal(arguments + Arguments{"--resume", "--lr", "0.5"}, 1, {"weights.lr", "0.5", "0.025"});
  expect_refusal(kTrain + Arguments{"--out", dir / "run", "--resume"}, 1, {"mixop search", "mixop train"});
  expect_refusal({"eval", dir / "run"}, 1, {"mixop search"});
  EXPECT_EQ(run(arguments + Arguments{"--force", "--lr", "0.5"}).status, 0);
  EXPECT_EQ(Json::parse(read(dir / "run" / "run.json"))["config"]["weights"]["lr"], 0.5);
}

TEST(Refusal, ALossThatIsNotFiniteEndsTheRun) {
  const TemporaryDirectory dir;
  const Outcome o = run(kTrain + Arguments{"--out", dir / "run", "--lr", "1e30", "--grad-clip", "0"});
  EXPECT_EQ(o.status, 1);
  EXPECT_NE(o.err.find("not finite in epoch 1, step"), std::string::npos) << o.err;
}

TEST(Configuration, SetBeatsFlagBeatsFileBeatsFallback) {
  const TemporaryDirectory dir;
  write(dir / "c.toml",
        "weights = { lr = 0.1, momentum = 0.8, weight_decay = 0.01 }\narch = { betas = [0.25, 0.75] }\n");
  const Outcome o = run(kSearch + Arguments{"--out", dir / "run", "--dry-run", "--config", dir / "c.toml",
                                            "--momentum", "0.7", "--lr", "0.2", "--set", "weights.lr=0.3"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* part : {"lr = 0.3", "momentum = 0.7", "weight_decay = 0.01", "lr_min = 0.001", "beta1 = 0.25",
                           "beta2 = 0.75", "crop = false"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << " in " << o.out;
  EXPECT_NE(o.out.find("memory: "), std::string::npos);
  EXPECT_FALSE(fs::exists(dir / "run"));
}

TEST(Configuration, ThePrintedOneCanBeReadBack) {
  const TemporaryDirectory dir;
  const Outcome first = run(kSearch + Arguments{"--out", dir / "run", "--dry-run", "--lr", "0.125"});
  write(dir / "c.toml", first.out.substr(0, first.out.find("supernet:")));
  const Outcome second = run({"search", "darts", "--config", dir / "c.toml", "--dry-run"});
  EXPECT_EQ(second.status, 0) << second.err;
  EXPECT_EQ(first.out, second.out);
}

TEST(Search, LeavesAWholeRunDirectory) {
  const TemporaryDirectory dir;
  const fs::path at = dir / "run";
  const Outcome o = run(kSearch + Arguments{"--out", at, "--epochs", "2", "--log-every", "3"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* part : {"genotype = Genotype(normal=[(", "supernet validation accuracy", "arch_step", "total"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part;
  EXPECT_NE(o.err.find("search = {"), std::string::npos);  // the resolved configuration

  const Json run_json = Json::parse(read(at / "run.json"));
  EXPECT_EQ(run_json["config"]["search"]["epochs"], 2);
  EXPECT_EQ(run_json["argv"][1], "search");
  EXPECT_EQ(lines(read(at / "genotypes.txt")), 2u);
  EXPECT_EQ(read(at / "genotypes.txt").rfind("0\tGenotype(", 0), 0u);
  std::istringstream metrics(read(at / "metrics.jsonl"));
  std::map<std::string, int> kinds;
  for (std::string line; std::getline(metrics, line);) {
    const Json j = Json::parse(line);
    ++kinds[j["kind"].get<std::string>() + " " + j["phase"].get<std::string>()];
  }
  // 8 steps: lines after 3 and 6; an epoch line of each phase twice.
  const std::map<std::string, int> expected = {
      {"step train_a", 2}, {"step train_w", 2}, {"epoch train_a", 2}, {"epoch train_w", 2}, {"epoch valid", 2}};
  EXPECT_EQ(kinds, expected);
  const std::string log = read(at / "log.txt");
  for (const char* part : {"param size = ", "epoch 0 lr 2.500000e-02", "valid_acc ", "genotype = Genotype("})
    EXPECT_NE(log.find(part), std::string::npos) << part;

  const Json cost = Json::parse(read(at / "cost.json"))["phases"];
  EXPECT_EQ(cost["arch_step"]["calls"], 8);
  EXPECT_EQ(cost["weight_step"]["images"], 64);
  EXPECT_EQ(cost["evaluation"]["images"], 64);
  EXPECT_EQ(cost["data"]["calls"], 8 + 8 + 8);
  EXPECT_EQ(cost["checkpoint"]["calls"], 2);
  EXPECT_GT(cost["weight_step"]["macs"], 0);

  EXPECT_EQ(
      read(at / "cell_normal.svg").rfind("<svg", 0) == 0 || read(at / "cell_normal.svg").rfind("<?xml", 0) == 0,
      true);
  EXPECT_NE(read(at / "cell_reduce.dot").find("digraph"), std::string::npos);
  EXPECT_EQ(fs::read_symlink(at / "ckpt" / "latest"), "000008");
  EXPECT_TRUE(fs::exists(at / "ckpt" / "000004"));
  const std::string npz = read(at / "alphas.npz");  // [2 epochs, 5 edges, 8 operations] of both cells
  EXPECT_EQ(npz.rfind("PK\x03\x04", 0), 0u);
  EXPECT_NE(npz.find("'shape': (2, 5, 8, )"), std::string::npos);
}

TEST(Search, SameSeedSameBits) {
  const TemporaryDirectory dir;
  for (const char* name : {"a", "b"})
    ASSERT_EQ(run(kSearch + Arguments{"--out", dir / name, "--threads", name[0] == 'a' ? "1" : "2"}).status, 0);
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "other", "--seed", "3"}).status, 0);
  const auto file = [&](const char* run, const char* name) { return read(dir.path() / run / name); };
  for (const char* name : {"ckpt/latest/weights.safetensors", "ckpt/latest/optim.safetensors", "genotypes.txt",
                           "alphas.npz", "cell_normal.svg"}) {
    EXPECT_FALSE(file("a", name).empty()) << name;
    EXPECT_EQ(file("a", name), file("b", name)) << name;
  }
  EXPECT_NE(file("a", "alphas.npz"), file("other", "alphas.npz"));
}

TEST(Train, AFoundCellIsTrainedTestedAndEvaluatedAgain) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--out", dir / "search", "--nodes", "4"}).status, 0);
  const Outcome trained = run(kTrain + Arguments{"--arch", file_of(dir / "search" / "genotypes.txt"), "--out",
                                                 dir / "run", "--auxiliary", "--data", "synthetic:32x32x1:4:64",
                                                 "--cutout", "4", "--layers", "3", "--test-images", "12"});
  ASSERT_EQ(trained.status, 0) << trained.err;
  EXPECT_NE(trained.out.find("(12 images, epoch 2, the last); best"), std::string::npos) << trained.out;
  EXPECT_NE(trained.out.find("MMAC an image"), std::string::npos);
  const std::string shown = trained.out.substr(14, trained.out.find(" %") - 14);

  const Outcome again = run({"eval", dir / "run", "--batch", "5", "--test-images", "12"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_NE(again.out.find("top1 " + shown + " %"), std::string::npos) << trained.out << again.out;
  EXPECT_EQ(run({"eval", dir / "run", "--ckpt", dir / "run" / "ckpt" / "000004"}).status, 0);
  expect_refusal({"eval", dir / "run", "--ckpt", dir / "run" / "ckpt" / "9"}, 1, {"ckpt/9"});
  write(dir / "run" / "ckpt" / "latest" / "weights.safetensors", "x");
  expect_refusal({"eval", dir / "run"}, 1, {"weights.safetensors", "SHA-256"});
}

}  // namespace
}  // namespace mixop::test
