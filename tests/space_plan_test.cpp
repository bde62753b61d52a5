// `mixop plan --space`: the counts of networks of shared weights as a user sees them.
#include <gtest/gtest.h>

#include "support/command.h"

namespace mixop {
namespace {

using test::Outcome;
using test::run;

void expect_lines(const std::vector<std::string>& arguments, const std::vector<std::string>& lines) {
  const Outcome outcome = run(arguments);
  ASSERT_EQ(outcome.status, 0) << outcome.err;
  for (const std::string& line : lines) EXPECT_NE(outcome.out.find(line), std::string::npos) << outcome.out;
}

TEST(SpacePlan, MicroChild) {
  expect_lines({"plan", "--space", "enas-micro"},
               {"parameters  5,373,140\nauxiliary   412,928\ncontroller  41,733\n",
                "layers.2                 16x16x40      390,640\n"});
}

TEST(SpacePlan, MicroFinal) {
  expect_lines(
      {"plan", "--space", "enas-micro", "--final", "--arch", "published"},
      {"parameters  3,894,372\nauxiliary   494,848\nMACs        620.9", "layers.11                 8x8x576"});
}

TEST(SpacePlan, Macro) {
  expect_lines({"plan", "--space", "enas-macro", "--layers", "14"}, {"parameters  810,756\ncontroller  41,856\n"});
  expect_lines({"plan", "--space", "enas-macro", "--json"}, {R"("parameters":697860,)"});
  expect_lines({"plan", "--space", "enas-macro", "--final", "--arch", "published"}, {"parameters  42,559,392\n"});
}

TEST(SpacePlan, SupernetsOfCells) {
  expect_lines({"plan", "--space", "darts"}, {"parameters  1,930,618\nalphas      224\n"});
  expect_lines({"plan", "--space", "pc-darts"}, {"parameters  299,578\nalphas      252\n", "cells.7 "});
  expect_lines({"plan", "--space", "nb201"}, {"alphas      30\n", "stages.2.cells.4           8x8x64"});
}

void expect_refusal(std::vector<std::string> arguments, int status, const std::string& words) {
  arguments.insert(arguments.begin(), "plan");
  const Outcome outcome = run(arguments);
  EXPECT_EQ(outcome.status, status);
  EXPECT_NE(outcome.err.find(words), std::string::npos) << outcome.err;
}

TEST(SpacePlan, WhatDoesNotFitIsRefused) {
  expect_refusal({}, 2, "name a genotype");
  expect_refusal({"DARTS_V2", "--final"}, 2, "are for --space");
  expect_refusal({"DARTS_V2", "--space", "enas-micro"}, 2, "two networks");
  expect_refusal({"--space", "enas-micro", "--final"}, 2, "--final needs --arch");
  expect_refusal({"--space", "nb201", "--final"}, 2, "`mixop arch stats` counts");
  expect_refusal({"--space", "pc-darts", "--channels", "6"}, 1, "");
  expect_refusal({"--space", "enas-micro", "--channels", "5"}, 1, "even number");
  expect_refusal({"--space", "enas-macro", "--arch", "1 2"}, 1, "has 2 numbers, not 78");
}

}  // namespace
}  // namespace mixop
