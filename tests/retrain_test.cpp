// Retraining by published recipes: several seeds, drop path by step, ImageNet stem and images, fine-tuning, other
// spaces.
#include <gtest/gtest.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <iterator>

#include "autograd/ops/copy.h"
#include "nas/cli/train_seeds.h"
#include "nas/genotypes_published.h"
#include "nas/train.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

Arguments words(const std::string& text) {
  std::istringstream in(text);
  return {std::istream_iterator<std::string>(in), {}};
}

// Two epochs of a small network.
const Arguments kShort = words(
    "train --arch GDAS_V1 --data synthetic:16x16x1:3:40 --layers 3"
    " --init-channels 4 --batch 16 --epochs 2"
    " --progress none --threads 1 --drop-path-prob 0.3 --log-every 1 --ckpt-every 2");

Json json_of(const fs::path& file) { return Json::parse(read(file)); }

void expect_refusal(const Arguments& arguments, const std::vector<std::string>& parts) {
  const Outcome o = run(arguments);
  EXPECT_NE(o.status, 0);
  for (const std::string& part : parts) EXPECT_NE(o.err.find(part), std::string::npos) << part << "\n" << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
}

// Stops at a step in each epoch and goes on: all bits must agree with those of a run in one go.
void expect_resumes(const Arguments& arguments) {
  const TemporaryDirectory dir;
  const Outcome whole = run(arguments + Arguments{"--out", dir / "whole"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  for (const char* steps : {"1", "4"})
    ASSERT_EQ(run(arguments + Arguments{"--out", dir / "parts", "--resume", "--max-steps", steps}).status, 0);
  ASSERT_EQ(run({"train", "--resume", "--out", dir / "parts", "--progress", "none", "--threads", "1"}).status, 0);
  expect_equal(result_of(dir / "whole"), result_of(dir / "parts"));
  for (const char* file : {"results.json", "confusion.csv", "classes_best.csv"})
    EXPECT_EQ(read(dir / "whole" / file), read(dir / "parts" / file)) << file;
}

TEST(Metrics, ARunWritesThemAndEvalPrintsThem) {
  const TemporaryDirectory dir;
  const Outcome o = run(kShort + Arguments{"--data", "synthetic:16x16x1:7:70", "--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* part : {"top5 ", "macro precision ", "recall ", "F1 ", "the last); best "})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << o.out;
  const Json results = json_of(dir / "run" / "results.json");
  EXPECT_EQ(results["finished"], true);
  EXPECT_EQ(results["last"]["epoch"], 2);
  EXPECT_EQ(results["last"]["images"], 14);
  EXPECT_GE(results["last"]["top5"].get<double>(), results["last"]["top1"].get<double>());
  std::istringstream rows(read(dir / "run" / "confusion.csv"));
  std::string row;
  std::getline(rows, row);
  EXPECT_EQ(row, "class,0,1,2,3,4,5,6");
  int images = 0, right = 0;
  for (int label = 0; std::getline(rows, row); ++label) {
    std::istringstream cells(row);
    std::string cell;
    std::getline(cells, cell, ',');
    for (int k = 0; std::getline(cells, cell, ','); ++k) {
      images += std::stoi(cell);
      if (k == label) right += std::stoi(cell);
    }
  }
  EXPECT_EQ(images, 14);
  EXPECT_NEAR(results["last"]["top1"].get<double>(), 100.0 * right / 14, 1e-9);
  EXPECT_NE(read(dir / "run" / "log.txt").find("macro precision"), std::string::npos);
  const Outcome eval = run({"eval", dir / "run"});
  const size_t at = o.out.find("top5");
  EXPECT_NE(eval.out.find(o.out.substr(at, o.out.find("parameters") - at - 6)), std::string::npos) << eval.out;
}

TEST(Metrics, FewClassesHaveNoTop5) {
  const TemporaryDirectory dir;
  const Outcome o = run(kShort + Arguments{"--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_EQ(o.out.find("top5"), std::string::npos);
  EXPECT_FALSE(json_of(dir / "run" / "results.json")["last"].contains("top5"));
}

TEST(Seeds, Texts) {
  EXPECT_EQ(cli::parse_seeds("3", 5), (std::vector<int64_t>{5, 6, 7}));
  EXPECT_EQ(cli::parse_seeds("3,8,5", 0), (std::vector<int64_t>{3, 8, 5}));
  for (const char* text : {"0", "-1", "a", "1,,2", "1,", "1,1", "2.5", ""})
    EXPECT_THROW(cli::parse_seeds(text, 0), cli::UsageError) << text;
  const cli::Spread s = cli::spread_of({1, 2, 6});
  EXPECT_DOUBLE_EQ(s.mean, 3);
  EXPECT_DOUBLE_EQ(s.deviation, std::sqrt((4.0 + 1 + 9) / 2));
  EXPECT_EQ(cli::spread_of({7}).deviation, 0);
}

TEST(Seeds, OneAfterTheOtherEachAsAlone) {
  const TemporaryDirectory dir;
  const Outcome all = run(kShort + Arguments{"--seeds", "3", "--seed", "4", "--out", dir / "all"});
  ASSERT_EQ(all.status, 0) << all.err;
  ASSERT_EQ(run(kShort + Arguments{"--seed", "5", "--out", dir / "alone"}).status, 0);
  expect_equal(result_of(dir / "alone"), result_of(dir / "all" / "seed-5"));
  const Json results = json_of(dir / "all" / "results.json");
  std::vector<double> last;
  for (const int seed : {4, 5, 6}) {
    const Json one = json_of(dir / "all" / ("seed-" + std::to_string(seed)) / "results.json");
    last.push_back(one["last"]["top1"]);
    EXPECT_EQ(results["seeds"][static_cast<size_t>(seed - 4)]["best"], one["best"]);
  }
  EXPECT_DOUBLE_EQ(results["last"]["mean"], cli::spread_of(last).mean);
  EXPECT_DOUBLE_EQ(results["last"]["deviation"], cli::spread_of(last).deviation);
  EXPECT_NE(all.out.find("3 seeds: test accuracy, mean and deviation (n - 1); last epoch "), std::string::npos);
}

TEST(Seeds, GoOnAfterAKillInTheSecond) {
  const TemporaryDirectory dir;
  const Arguments longer = kShort + Arguments{"--seeds", "7,3", "--epochs", "6"};
  const Outcome whole = run(longer + Arguments{"--out", dir / "whole"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  {
    Command command(longer + Arguments{"--out", dir / "killed"});
    for (int i = 0; i < 30000 && !fs::exists(dir / "killed" / "seed-3" / "ckpt" / "latest"); ++i) usleep(2000);
    command.signal(SIGKILL);
    command.wait();
  }
  ASSERT_TRUE(fs::exists(dir / "killed" / "seed-3"));
  const auto first = fs::last_write_time(dir / "killed" / "seed-7" / "results.json");
  const Outcome again = run({"train", "--resume", "--out", dir / "killed", "--progress", "none", "--threads", "1"});
  ASSERT_EQ(again.status, 0) << again.err;
  EXPECT_EQ(fs::last_write_time(dir / "killed" / "seed-7" / "results.json"), first);  // not trained again
  for (const char* seed : {"seed-7", "seed-3"})
    expect_equal(result_of(dir / "whole" / seed), result_of(dir / "killed" / seed));
  EXPECT_EQ(read(dir / "whole" / "results.json"), read(dir / "killed" / "results.json"));
}

TEST(Seeds, BadInput) {
  const TemporaryDirectory dir;
  expect_refusal(kShort + Arguments{"--seeds", "0", "--out", dir / "a"}, {"--seeds", "1..1000"});
  ASSERT_EQ(run(kShort + Arguments{"--seeds", "2", "--epochs", "1", "--out", dir / "two"}).status, 0);
  expect_refusal(kShort + Arguments{"--seeds", "2", "--out", dir / "two"}, {"--resume", "--force"});
  expect_refusal({"train", "--resume", "--seeds", "3", "--out", dir / "two"}, {"other seeds", "[0,1]"});
  expect_refusal({"train", "--resume", "--epochs", "9", "--out", dir / "two"}, {"train.epochs"});
  ASSERT_EQ(run(kShort + Arguments{"--epochs", "1", "--out", dir / "one"}).status, 0);
  expect_refusal(kShort + Arguments{"--seeds", "2", "--resume", "--out", dir / "one"}, {"seeds.json"});
  EXPECT_EQ(run(kShort + Arguments{"--seeds", "9,", "--epochs", "1", "--out", dir / "x"}).status, 2);
  ASSERT_EQ(run(kShort + Arguments{"--seeds", "1", "--epochs", "1", "--force", "--out", dir / "two"}).status, 0);
  EXPECT_FALSE(fs::exists(dir / "two" / "seed-1"));
}

TEST(DropPath, ScheduledKeepsByCellAndStep) {
  autograd::Graph g;
  autograd::TensorStore state("state", kernels::DType::kF32);
  const nas::Value counter = g.tensor(state, "counter", {1});
  std::vector<nas::Value> keeps;
  constexpr int kCells = 4;
  for (int i = 0; i < kCells; ++i)
    keeps.push_back(nas::scheduled_keep(g, counter, {.drop = 0.4, .steps = 50}, i, kCells));
  autograd::Plan plan(g, keeps);
  state.bind();
  for (const int step : {0, 1, 25, 49, 50}) {
    state.set("counter", step);
    plan.run();
    for (int i = 0; i < kCells; ++i)
      EXPECT_NEAR(plan.scalar(keeps[i]), 1 - (i + 1.0) / kCells * 0.4 * step / 50, 1e-6) << step << " " << i;
  }
}

TEST(DropPath, ScheduledTrainsAndResumes) {
  expect_resumes(kShort + Arguments{"--drop-path-schedule", "scheduled", "--drop-path-prob", "0.6"});
}

TEST(LearningRate, Schedules) {
  nas::TrainOptions o;
  o.epochs = 10;
  o.lr = 0.1;
  o.lr_min = 0.01;
  EXPECT_DOUBLE_EQ(nas::learning_rate(o, 0), 0.1);
  EXPECT_DOUBLE_EQ(nas::learning_rate(o, 5), 0.055);
  o.lr_schedule = nas::LrSchedule::kStep;
  EXPECT_DOUBLE_EQ(nas::learning_rate(o, 0), 0.1);
  EXPECT_NEAR(nas::learning_rate(o, 3), 0.1 * 0.97 * 0.97 * 0.97, 1e-15);
  o.lr_schedule = nas::LrSchedule::kRestarts;
  for (const int restart : {0, 10, 30, 70, 150, 310})
    EXPECT_DOUBLE_EQ(nas::learning_rate(o, restart), 0.1) << restart;
  EXPECT_DOUBLE_EQ(nas::learning_rate(o, 20), 0.055);
  EXPECT_LT(nas::learning_rate(o, 29), 0.011);
}

const Arguments kImagenet = kShort + Arguments{"--data",
                                               "synthetic:70x66x3:6:24",
                                               "--recipe",
                                               "darts-imagenet",
                                               "--image-size",
                                               "64",
                                               "--no-auxiliary",
                                               "--layers",
                                               "3",
                                               "--batch",
                                               "8"};

TEST(Imagenet, StemCropsColoursAndStepsTrainAndResume) {
  expect_resumes(kImagenet);
  const TemporaryDirectory dir;
  const Outcome o = run(kImagenet + Arguments{"--dry-run", "--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* part :
       {"recipe = \"darts-imagenet\"", "imagenet = true", "lr_schedule = \"step\"", "label_smoothing = 0.1",
        "weight_decay = 3e-05", "image_size = 64", "jitter = 0.4", "hue_jitter = 0.2", "resized_crop = true",
        "crop = false", "flip = true", "epochs = 2", "images of the network: 64x64"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << "\n" << o.out;
}

TEST(Imagenet, EvalMakesTheSameImages) {
  const TemporaryDirectory dir;
  const Outcome o = run(kImagenet + Arguments{"--epochs", "1", "--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  const Outcome eval = run({"eval", dir / "run"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  const std::string shown = o.out.substr(14, o.out.find(" %") - 14);
  EXPECT_NE(eval.out.find("top1 " + shown + " %"), std::string::npos) << eval.out;
}

TEST(Imagenet, BadInput) {
  expect_refusal(kShort + Arguments{"--imagenet", "--data", "synthetic:48x48x3:3:12"}, {"48x48", "32"});
  expect_refusal(kShort + Arguments{"--resized-crop", "--crop"}, {"--crop", "--resized-crop"});
  expect_refusal(kShort + Arguments{"--recipe", "imagenet"}, {"--recipe", "darts-imagenet"});
}

TEST(Recipe, FlagsBeatIt) {
  const TemporaryDirectory dir;
  const Outcome o = run({"train", "--arch", "DARTS_V2", "--recipe", "nasnet-cifar", "--data",
                         "synthetic:32x32x3:4:64", "--batch", "8", "--dry-run", "--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  for (const char* part : {"drop_path_schedule = \"scheduled\"", "drop_path_prob = 0.4", "batch = 8",
                           "init_channels = 32", "weight_decay = 0.0005"})
    EXPECT_NE(o.out.find(part), std::string::npos) << part << "\n" << o.out;
}

TEST(FineTuning, TakesWhatFitsOnOtherData) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kShort + Arguments{"--out", dir / "old"}).status, 0);
  // Two more classes: everything but the classifier's two tensors. The network is that of the run.
  const Outcome o =
      run({"train", "--from", dir / "old", "--data", "synthetic:16x16x1:5:40", "--epochs", "1", "--batch", "16",
           "--progress", "plain", "--threads", "1", "--lr", "0", "--out", dir / "new"});
  ASSERT_EQ(o.status, 0) << o.err;
  EXPECT_NE(o.err.find("tensors taken from"), std::string::npos) << o.err;
  EXPECT_NE(o.err.find("begin anew: weights/classifier.w weights/classifier.b"), std::string::npos) << o.err;
  const Json config = json_of(dir / "new" / "run.json")["config"];
  EXPECT_EQ(config["train"]["layers"], 3);
  EXPECT_EQ(config["train"]["arch"], json_of(dir / "old" / "run.json")["config"]["train"]["arch"]);
  // At a learning rate of 0 the weights stay as they were taken: equal classes give equal answers but for the
  // running statistics, which --from a checkpoint takes too.
  Arguments same =
      kShort + Arguments{"--from", fs::canonical(dir / "old" / "ckpt" / "latest"), "--lr", "0", "--epochs", "1"};
  ASSERT_EQ(run(same + Arguments{"--out", dir / "same"}).status, 0);
  const auto tensor = [&](const char* name, const char* of = "weights/cells.0.pre1.w") {
    const std::string all = read(dir / name / "ckpt" / "latest" / "weights.safetensors");
    const size_t start = 8 + *reinterpret_cast<const uint64_t*>(all.data());
    const auto range = Json::parse(all.substr(8, start - 8))[of]["data_offsets"];
    return all.substr(start + range[0].get<size_t>(), range[1].get<size_t>() - range[0].get<size_t>());
  };
  EXPECT_EQ(tensor("old"), tensor("same"));
  EXPECT_EQ(tensor("old"), tensor("new"));
  ASSERT_EQ(run(kShort + Arguments{"--epochs", "1", "--lr", "0", "--out", dir / "scratch"}).status, 0);
  EXPECT_NE(tensor("old"), tensor("scratch"));
  // Masks begin anew: both have counted the three steps of one epoch, the old run six.
  EXPECT_EQ(tensor("same", "state/counter"), tensor("scratch", "state/counter"));
  EXPECT_NE(tensor("same", "state/counter"), tensor("old", "state/counter"));
}

TEST(FineTuning, ResumesWithoutItsSource) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kShort + Arguments{"--out", dir / "old"}).status, 0);
  expect_resumes(kShort + Arguments{"--from", dir / "old"});
  const Arguments more = kShort + Arguments{"--from", dir / "old", "--out", dir / "new"};
  ASSERT_EQ(run(more + Arguments{"--max-steps", "1"}).status, 0);
  fs::remove_all(dir / "old");
  const Outcome o = run({"train", "--resume", "--out", dir / "new", "--progress", "none"});
  EXPECT_EQ(o.status, 0) << o.err;
}

TEST(FineTuning, BadInput) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kShort + Arguments{"--epochs", "1", "--out", dir / "old"}).status, 0);
  expect_refusal(kShort + Arguments{"--from", dir / "none"}, {"--from", "neither a run"});
  expect_refusal(kShort + Arguments{"--arch", "DARTS_V2", "--from", dir / "old"}, {"another network", "--arch"});
  expect_refusal(kShort + Arguments{"--layers", "4", "--from", dir / "old"}, {"another network"});
  ASSERT_EQ(run(kSearch + Arguments{"--max-steps", "1", "--out", dir / "search"}).status, 0);
  expect_refusal(kShort + Arguments{"--from", dir / "search"}, {"mixop search", "mixop train"});
}

TEST(Spaces, AnArchitectureOfAnotherSpaceIsTrainedTestedAndResumed) {
  const Arguments nb201 = {"train",
                           "--space",
                           "nb201",
                           "--arch",
                           "|nor_conv_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|none~0|none~1|avg_pool_3x3~2|",
                           "--data",
                           "synthetic:16x16x3:3:40",
                           "--layers",
                           "1",
                           "--init-channels",
                           "4",
                           "--batch",
                           "16",
                           "--epochs",
                           "2",
                           "--progress",
                           "none",
                           "--threads",
                           "1",
                           "--nesterov",
                           "--ckpt-every",
                           "2"};
  expect_resumes(nb201);
  const TemporaryDirectory dir;
  const Outcome o = run(nb201 + Arguments{"--out", dir / "run"});
  ASSERT_EQ(o.status, 0) << o.err;
  const Outcome eval = run({"eval", dir / "run"});
  ASSERT_EQ(eval.status, 0) << eval.err;
  EXPECT_NE(eval.out.find("top1 " + o.out.substr(14, o.out.find(" %") - 14)), std::string::npos);
  // The cell of a run on other data, with its weights.
  const Outcome tuned = run({"train", "--from", dir / "run", "--data", "synthetic:16x16x3:4:40", "--epochs", "1",
                             "--batch", "16", "--progress", "none", "--out", dir / "tuned"});
  EXPECT_EQ(tuned.status, 0) << tuned.err;
  expect_refusal(nb201 + Arguments{"--auxiliary"}, {"train.auxiliary", "nb201"});
  expect_refusal(nb201 + Arguments{"--drop-path-prob", "0.1"}, {"drop_path", "nb201"});
  expect_refusal(nb201 + Arguments{"--space", "none"}, {"unknown space"});
}

TEST(Spaces, EnasNetworksWithAllOfTheirRecipe) {
  const std::string published = "0 2 0 0 0 4 0 1 0 4 1 1 1 0 0 1 0 2 1 1 1 0 1 0 0 3 0 2 1 1 3 1 1 0 0 4 0 3 1 1";
  const Arguments enas = {"train",
                          "--recipe",
                          "enas-micro",
                          "--arch",
                          published,
                          "--data",
                          "synthetic:32x32x1:3:16",
                          "--layers",
                          "3",
                          "--init-channels",
                          "4",
                          "--batch",
                          "8",
                          "--epochs",
                          "2",
                          "--no-auxiliary",
                          "--progress",
                          "none",
                          "--threads",
                          "1",
                          "--ckpt-every",
                          "1"};
  expect_resumes(enas);
  const TemporaryDirectory dir;
  const Outcome whole = run({"train", "--recipe", "enas-micro", "--arch", published, "--data",
                             "synthetic:32x32x3:10:16", "--batch", "1", "--dry-run", "--out", dir / "run"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  EXPECT_NE(whole.out.find("3894372 parameters"), std::string::npos) << whole.out;
  EXPECT_NE(whole.out.find("auxiliary head: 494848 parameters"), std::string::npos) << whole.out;
  expect_refusal(enas + Arguments{"--imagenet"}, {"train.imagenet", "enas-micro"});
  expect_refusal(kShort + Arguments{"--dropout", "0.5"}, {"train.dropout", "darts"});
}

TEST(Spaces, ArchOfARun) {
  const TemporaryDirectory dir;
  ASSERT_EQ(run(kSearch + Arguments{"--nodes", "4", "--max-steps", "20", "--epochs", "1", "--out", dir / "search"})
                .status,
            0);
  const Arguments other = kShort + Arguments{"--epochs", "1"};
  ASSERT_EQ(run(other + Arguments{"--arch", "@" + (dir / "search").string(), "--out", dir / "a"}).status, 0);
  ASSERT_EQ(run(other + Arguments{"--arch", "@" + (dir / "a").string(), "--out", dir / "b"}).status, 0);
  EXPECT_EQ(json_of(dir / "a" / "run.json")["config"]["train"]["arch"],
            json_of(dir / "b" / "run.json")["config"]["train"]["arch"]);
  expect_refusal(other + Arguments{"--arch", "@" + (dir / "none").string()}, {"neither a file nor a run"});
}

}  // namespace
}  // namespace mixop::test
