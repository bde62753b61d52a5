// Small searches and trainings through the command, and what must agree between two of them.
#pragma once

#include <gtest/gtest.h>

#include <sstream>

#include "tests/support/arguments.h"

namespace mixop::test {

inline const Arguments kSearch = {"search",      "darts", "--data",       "synthetic:16x16x1:4:96",
                                  "--channels",  "2",     "--cells",      "2",
                                  "--nodes",     "2",     "--batch",      "10",
                                  "--epochs",    "5",     "--ckpt-every", "2",
                                  "--log-every", "1",     "--progress",   "none",
                                  "--sampler",   "epoch", "--threads",    "1"};
inline const Arguments kTrain = {"train",
                                 "--arch",
                                 "GDAS_V1",
                                 "--data",
                                 "synthetic:16x16x1:4:60",
                                 "--layers",
                                 "3",
                                 "--init-channels",
                                 "4",
                                 "--batch",
                                 "16",
                                 "--epochs",
                                 "8",
                                 "--progress",
                                 "none",
                                 "--drop-path-prob",
                                 "0.3",
                                 "--cutout",
                                 "6",
                                 "--ckpt-every",
                                 "3",
                                 "--log-every",
                                 "1",
                                 "--threads",
                                 "1",
                                 "--crop",
                                 "--flip"};

/// All that must agree between two runs; times are left out.
struct Result {
  std::string weights, optimizer, alphas, genotypes, metrics;
  Json counts, position;
  bool operator==(const Result&) const = default;
};

inline Result result_of(const fs::path& run) {
  const fs::path latest = run / "ckpt" / "latest";
  Result r{read(latest / "weights.safetensors"),
           read(latest / "optim.safetensors"),
           fs::exists(run / "alphas.npz") ? read(run / "alphas.npz") : "",
           read(run / "genotypes.txt"),
           "",
           {},
           {}};
  std::istringstream metrics(read(run / "metrics.jsonl"));
  for (std::string line; std::getline(metrics, line);) {
    Json j = Json::parse(line);
    EXPECT_EQ(j.erase("wall_s"), 1u);
    EXPECT_EQ(j.erase("images_per_s"), 1u);
    r.metrics += j.dump() + "\n";
  }
  r.counts = Json::parse(read(run / "cost.json"))["phases"];
  for (auto& phase : r.counts) phase.erase("seconds");
  r.position = Json::parse(read(latest / "state.json"));
  r.position.erase("ledger");
  r.position.erase("files");  // log.txt and metrics.jsonl differ in length where times do
  return r;
}

inline void expect_equal(const Result& a, const Result& b) {
  EXPECT_FALSE(a.weights.empty());
  EXPECT_TRUE(a.weights == b.weights);
  EXPECT_TRUE(a.optimizer == b.optimizer);
  EXPECT_TRUE(a.alphas == b.alphas);
  EXPECT_EQ(a.genotypes, b.genotypes);
  EXPECT_EQ(a.metrics, b.metrics);
  EXPECT_EQ(a.counts, b.counts);
  EXPECT_EQ(a.position, b.position);
}

}  // namespace mixop::test
