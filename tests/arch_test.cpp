// mixop arch over every search space: forms both ways, index orders, counts, samples, pictures, refusals.
#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>

#include "kernels/core/check.h"
#include "nas/space/nb201_order.h"
#include "nas/space/spaces.h"
#include "tests/support/command.h"

namespace mixop {
namespace {

using Arguments = std::vector<std::string>;

constexpr const char* kNb201 =
    "|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|";

// What `mixop arch` prints, without the last line feed.
std::string arch(const Arguments& arguments) {
  Arguments all = {"arch"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const test::Outcome o = test::run(all);
  EXPECT_EQ(o.status, 0) << o.err;
  return o.out.substr(0, o.out.find_last_not_of('\n') + 1);
}

void expect_refusal(const Arguments& arguments, int status, const std::string& part) {
  Arguments all = {"arch"};
  all.insert(all.end(), arguments.begin(), arguments.end());
  const test::Outcome o = test::run(all);
  EXPECT_EQ(o.status, status) << o.err;
  EXPECT_EQ(std::count(o.err.begin(), o.err.end(), '\n'), 1) << o.err;
  EXPECT_NE(o.err.find(part), std::string::npos) << part << " in: " << o.err;
}

TEST(Nb201Order, AllTuplesBothWays) {
  for (int code = 0; code < 15625; ++code) {
    nas::Arch cell(6);
    for (size_t e = 6, rest = static_cast<size_t>(code); e-- > 0; rest /= 5) cell[e] = static_cast<int>(rest % 5);
    for (const auto order : {nas::Nb201Order::kNats, nas::Nb201Order::kNaslib})
      ASSERT_EQ(nas::nb201_from_tuple(nas::nb201_to_tuple(cell, order), order), cell);
  }
  // All different: 0>1 none, 0>2 skip, 1>2 conv 1x1, 0>3 conv 3x3, 1>3 pool, 2>3 none.
  EXPECT_EQ(nas::nb201_to_tuple({0, 1, 2, 3, 4, 0}, nas::Nb201Order::kNaslib), (nas::Arch{1, 0, 2, 3, 4, 1}));
  EXPECT_THROW(nas::nb201_from_tuple({0, 1, 2, 3, 5, 0}, nas::Nb201Order::kNats), Error);
  EXPECT_THROW(nas::nb201_from_tuple({0, 1, 2}, nas::Nb201Order::kNats), Error);
}

TEST(Arch, Nb201Forms) {
  const Arguments convert = {"convert", kNb201, "--space", "nb201", "--to"};
  const auto to = [&](const std::string& form) {
    Arguments all = convert;
    all.push_back(form);
    return arch(all);
  };
  EXPECT_EQ(to("digits"), "421211");
  EXPECT_EQ(to("nats"), "(4, 2, 1, 2, 1, 1)");
  EXPECT_EQ(to("naslib"), "(4, 3, 3, 0, 0, 0)");
  EXPECT_EQ(to("numbers"), "[4,2,1,2,1,1]");
  EXPECT_EQ(arch({"parse", "421211", "--space", "nb201"}), kNb201);
  EXPECT_EQ(arch({"parse", "(4, 3, 3, 0, 0, 0)", "--space", "nb201", "--index-order", "naslib"}), kNb201);
  EXPECT_EQ(arch({"parse", "[4,2,1,2,1,1]", "--space", "nb201", "--index-order", "nats"}), kNb201);
  expect_refusal({"parse", "(4, 2, 1, 2, 1, 1)", "--space", "nb201"}, 2, "--index-order");
  expect_refusal({"parse", "(4, 2, 1, 2, 1)", "--space", "nb201", "--index-order", "nats"}, 1, "5 numbers");
  expect_refusal({"parse", "(4, 2, 1, 2, 1, x)", "--space", "nb201", "--index-order", "nats"}, 1, "whole numbers");
  expect_refusal({"parse", "421215", "--space", "nb201"}, 1, "421215");
  expect_refusal({"convert", "421211", "--space", "nb201", "--to", "hash"}, 2, "naslib");
}

TEST(Arch, Nb101Forms) {
  // The first row of the sample of the published table.
  const std::string text = "100110100001001010101:02001";
  const auto to = [&](const std::string& form) {
    return arch({"convert", text, "--space", "nb101", "--to", form});
  };
  EXPECT_EQ(to("hash"), "00005c142e6f48ac74fdcf73e3439874");
  EXPECT_EQ(arch({"convert", to("json"), "--space", "nb101", "--to", "hash"}), to("hash"));
  EXPECT_EQ(arch({"convert", to("numbers"), "--space", "nb101"}), text);
  EXPECT_EQ(arch({"convert", "1:", "--space", "nb101", "--to", "pruned"}), "1:");
  expect_refusal({"parse", "0:", "--space", "nb101"}, 1, "no path");
}

TEST(Arch, GenotypesAsBefore) {
  const std::string text = arch({"convert", "DARTS_V2"});
  EXPECT_EQ(text.rfind("Genotype(normal=[('sep_conv_3x3', 0)", 0), 0u) << text;
  EXPECT_EQ(arch({"convert", "DARTS_V2", "--to", "json"}).front(), '{');
  EXPECT_EQ(arch({"convert", arch({"convert", "DARTS_V2", "--space", "darts", "--to", "numbers"}), "--space",
                  "darts", "--to", "json"}),
            arch({"convert", "DARTS_V2", "--space", "darts", "--to", "json"}));
  expect_refusal({"convert", "DARTS_V2", "--to", "hash"}, 2, "json");
  expect_refusal({"parse", "AmoebaNet", "--space", "darts"}, 1, "normal cell");
}

TEST(Arch, EverySpaceSamplesParsesAndDraws) {
  const test::TemporaryDirectory dir;
  for (const std::string& space : nas::space_names()) {
    const std::string samples = arch({"sample", "--space", space, "-n", "3", "--seed", "7"});
    EXPECT_EQ(std::count(samples.begin(), samples.end(), '\n'), 2) << space;
    EXPECT_EQ(samples, arch({"sample", "--space", space, "-n", "3", "--seed", "7"}));
    const std::string first = samples.substr(0, samples.find('\n'));
    EXPECT_EQ(arch({"parse", first, "--space", space}), first);
    test::write(dir / "one.txt", first + "\n");
    EXPECT_EQ(arch({"parse", "@" + (dir / "one.txt").string(), "--space", space}), first);
    EXPECT_FALSE(arch({"count", "--space", space}).empty());
    EXPECT_NE(arch({"spaces"}).find(space), std::string::npos);
    expect_refusal({"parse", "?", "--space", space}, 1, "?");
  }
}

TEST(Arch, Counts) {
  EXPECT_EQ(arch({"count", "--space", "nb201", "--classes"}), "15,625 architectures\n6,466 classes");
  EXPECT_EQ(arch({"count", "--space", "nbmacro", "--classes", "--json"}),
            R"({"space":"nbmacro","architectures":6561,"classes":3969})");
  EXPECT_EQ(arch({"count", "--space", "darts"}), "1.0767e+18 architectures");
  expect_refusal({"count", "--space", "darts", "--classes"}, 1, "darts");
  expect_refusal({"count", "--space", "nb301"}, 1, "nb201");
  expect_refusal({"count"}, 2, "--space");
}

TEST(Arch, Sizes) {
  const std::string text =
      arch({"stats", "100110100001001010101:02001", "--space", "nb101", "--channels", "128", "--cells", "3"});
  EXPECT_NE(text.find("parameters  8,555,530"), std::string::npos) << text;
  EXPECT_NE(text.find("C=128, 3 cells"), std::string::npos) << text;
  const std::string json = arch({"stats", "22212220", "--space", "nbmacro", "--channels", "32", "--json"});
  EXPECT_NE(json.find("\"parameters\":1985514"), std::string::npos) << json;
  expect_refusal({"stats", "22212220", "--space", "nbmacro", "--imagenet"}, 2, "--imagenet");
}

TEST(Arch, Pictures) {
  const test::TemporaryDirectory dir;
  const std::string file = dir / "cell.dot";
  EXPECT_EQ(arch({"draw", "421211", "--space", "nb201", "--dot", file}), "");
  const std::string dot = test::read(file);
  EXPECT_NE(dot.find("0 -> 1 [label=\"avg_pool_3x3\"]"), std::string::npos) << dot;
  for (const char* space : {"nb101", "nbmacro", "nasnet", "hierarchical"})
    EXPECT_EQ(arch({"draw", arch({"sample", "--space", space}), "--space", space}).rfind("digraph", 0), 0u)
        << space;
  EXPECT_EQ(arch({"draw", "DARTS_V2", "--space", "darts"}).rfind("<svg", 0), 0u);
  expect_refusal({"draw", "421211", "--space", "nb201", "--svg", "-"}, 2, "--dot");
}

}  // namespace
}  // namespace mixop
