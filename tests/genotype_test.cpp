// Genotypes: text forms, faults and their places, published lists, decoding of alpha tables.
#include "nas/genotype.h"

#include <gtest/gtest.h>

#include <cmath>
#include <filesystem>
#include <fstream>
#include <limits>
#include <random>

#include "kernels/core/check.h"
#include "nas/decode.h"
#include "nas/genotypes_published.h"

namespace mixop::nas {
namespace {

constexpr char kV2[] =
    "Genotype(normal=[('sep_conv_3x3', 0), ('sep_conv_3x3', 1), ('sep_conv_3x3', 0), ('sep_conv_3x3', 1), "
    "('sep_conv_3x3', 1), ('skip_connect', 0), ('skip_connect', 0), ('dil_conv_3x3', 2)], normal_concat=[2, 3, 4, "
    "5], "
    "reduce=[('max_pool_3x3', 0), ('max_pool_3x3', 1), ('skip_connect', 2), ('max_pool_3x3', 1), ('max_pool_3x3', "
    "0), "
    "('skip_connect', 2), ('skip_connect', 2), ('max_pool_3x3', 1)], reduce_concat=[2, 3, 4, 5])";

/// The message of the mixop::Error that `action` throws; empty if it throws none.
template <class Action>
std::string error_of(Action action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "";
}

std::string parse_error(const std::string& text) {
  return error_of([&] { parse_genotype(text); });
}

/// One-node cells, with the given arguments in place of the normal cell's edges and concats.
std::string tiny(const std::string& edges, const std::string& normal_concat = "[2]",
                 const std::string& reduce_concat = "[2]") {
  return "Genotype(normal=" + edges + ", normal_concat=" + normal_concat +
         ", reduce=[('none',0),('none',1)], reduce_concat=" + reduce_concat + ")";
}

#define EXPECT_HAS(text, part) EXPECT_NE((text).find(part), std::string::npos) << "message: " << (text)

std::string changed(std::string text, const std::string& from, const std::string& to) {
  for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
    text.replace(at, from.size(), to);
  return text;
}

TEST(CellOps, NamesAndColumns) {
  EXPECT_EQ(op_name(kDartsOps[0]), "none");
  EXPECT_EQ(op_name(kDartsOps[1]), "max_pool_3x3");
  EXPECT_EQ(op_name(kDartsOps[7]), "dil_conv_5x5");
  for (int i = 0; i <= static_cast<int>(CellOp::conv_7x1_1x7); ++i)
    EXPECT_EQ(parse_op(op_name(static_cast<CellOp>(i))), static_cast<CellOp>(i));
  const std::string error = error_of([] { parse_op("sep_conv_4x4"); });
  EXPECT_HAS(error, "'sep_conv_4x4'");
  EXPECT_HAS(error, "dil_conv_5x5 sep_conv_7x7 conv_7x1_1x7");
}

TEST(ParseGenotype, WritesTheDartsFormExactly) { EXPECT_EQ(format_genotype(parse_genotype(kV2)), kV2); }

TEST(ParseGenotype, ReadsTheFormsInUse) {
  const Genotype v2 = parse_genotype(kV2);
  EXPECT_EQ(v2.normal.nodes(), 4);
  EXPECT_EQ(v2.normal.edges[7], (Edge{CellOp::dil_conv_3x3, 2}));
  EXPECT_EQ(v2.name, "");
  EXPECT_EQ(parse_genotype(changed(kV2, "[2, 3, 4, 5]", "range(2, 6)")), v2);
  EXPECT_EQ(parse_genotype(changed(kV2, "[2, 3, 4, 5]", "(2,3,4,5,)")), v2);
  EXPECT_EQ(parse_genotype(changed(kV2, "'", "\"")), v2);
  EXPECT_EQ(parse_genotype(changed(kV2, " ", "")), v2);
  EXPECT_EQ(parse_genotype(changed(changed(kV2, "=", " =\r\n\t"), "(", "( ")), v2);

  const Genotype named = parse_genotype("\n DARTS_V2 = " + std::string(kV2) + "\n");
  EXPECT_EQ(named, v2);
  EXPECT_EQ(named.name, "DARTS_V2");

  const Genotype nested = parse_genotype(
      "Genotype(reduce_concat=range(2,4), reduce=[[('max_pool_3x3', 0), ('none', 1)], [('skip_connect', 2), "
      "('max_pool_3x3', 0)]], normal_concat=range(4), normal=[[('sep_conv_3x3', 0), ('sep_conv_5x5', 1)], "
      "[('dil_conv_5x5', 2), ('avg_pool_3x3', 2)],],)");
  EXPECT_EQ(nested.normal.edges, (std::vector<Edge>{{CellOp::sep_conv_3x3, 0},
                                                    {CellOp::sep_conv_5x5, 1},
                                                    {CellOp::dil_conv_5x5, 2},
                                                    {CellOp::avg_pool_3x3, 2}}));
  EXPECT_EQ(nested.normal.concat, (std::vector<int>{0, 1, 2, 3}));
  EXPECT_EQ(nested.reduce.concat, (std::vector<int>{2, 3}));
}

TEST(ParseGenotype, PlacesItsComplaints) {
  const std::string good = "[('none', 0), ('none', 1)]";
  ASSERT_EQ(parse_error(tiny(good)), "");
  // "Genotype(normal=[('" is 19 characters long.
  EXPECT_HAS(parse_error(tiny("[('convolve', 0), ('none', 1)]")),
             "line 1, column 20: unknown operation 'convolve'");
  EXPECT_HAS(parse_error(tiny("[('none', 0), ('none', 2)]")), "column 31: normal edge 1 enters state 2");
  EXPECT_HAS(parse_error(tiny("[('none', 0),\n ('none', 2)]")), "line 2, column 2: normal edge 1");
  EXPECT_HAS(parse_error(tiny("[('none', -1), ('none', 0)]")), "column 27: state -1 does not exist");
  EXPECT_HAS(parse_error(tiny("[('none', 99999999999), ('none', 0)]")), "column 27: state 99999999999 does not");
  EXPECT_HAS(parse_error(tiny("[('none', x), ('none', 0)]")), "column 27: expected a state number, found 'x'");
  EXPECT_HAS(parse_error(tiny("[('none' 0), ('none', 0)]")), "expected ',' after the operation, found '0'");
  EXPECT_HAS(parse_error(tiny("[(none, 0), ('none', 0)]")), "expected a quoted operation, found 'none'");
  EXPECT_HAS(parse_error(tiny("[('none, 0),\n ('none', 0)]")), "column 19: this quote is never closed");
  EXPECT_HAS(parse_error(tiny("[('none', 0)]")), "has 1 edges; expected two per node");
  EXPECT_HAS(parse_error(tiny("[]")), "has 0 edges");
  EXPECT_HAS(parse_error(tiny("[[('none', 0)], [('none', 1)]]")),
             "column 18: expected 2 edges for this node, found 1");
  EXPECT_HAS(parse_error(tiny("(1)")), "expected '[' before the edges, found '('");

  EXPECT_HAS(parse_error(tiny(good, "[3]")), "normal_concat: state 3 does not exist; states are 0 to 2");
  EXPECT_HAS(parse_error(tiny(good, "range(2, 9999)")), "state 3 does not exist");
  EXPECT_HAS(parse_error(tiny(good, "[2, 2]")), "normal_concat: state 2 is repeated");
  EXPECT_HAS(parse_error(tiny(good, "[]")), "concat of the normal cell is empty");
  EXPECT_HAS(parse_error(tiny(good, "range(2, 2)")), "concat of the normal cell is empty");
  EXPECT_HAS(parse_error(tiny(good, "list(2)")), "expected a list or range(...), found 'list'");
  EXPECT_HAS(parse_error(tiny(good, "7")), "expected a list or range(...), found '7'");
  EXPECT_EQ(parse_error(tiny(good, "[0, 1, 2]")), "");
  EXPECT_HAS(parse_error(tiny(good, "[2]", "[2, 1]")), "reduce_concat: state 1 is an input of the cell");

  EXPECT_HAS(parse_error("Genotype(normal=" + good + ")"), "missing keyword 'normal_concat'");
  EXPECT_HAS(parse_error("Genotype(normal=" + good + ", normal=" + good + ")"),
             "column 45: keyword 'normal' given twice");
  EXPECT_HAS(parse_error("Genotype(normals=[])"), "column 10: unknown keyword 'normals'");
  EXPECT_HAS(parse_error(tiny(good) + " x"), "expected the end of the genotype, found 'x'");
  EXPECT_HAS(parse_error(""), "expected 'Genotype(', found the end of the text");
  EXPECT_HAS(parse_error("A = B(1)"), "column 5: expected 'Genotype(', found 'B'");
}

TEST(ParseGenotype, EveryTruncationIsAnErrorOfOneLine) {
  const std::string text = kV2;
  for (std::size_t n = 0; n < text.size(); ++n) {
    const std::string error = parse_error(text.substr(0, n));
    EXPECT_NE(error, "") << n;
    EXPECT_EQ(error.find('\n'), std::string::npos) << error;
  }
}

TEST(ParseGenotype, DamagedTextThrowsOrStaysValid) {
  std::mt19937 random(1);
  int accepted = 0;
  const std::string alphabet = "[](),='\"0123456789 \nrange_{}:";
  for (int i = 0; i < 3000; ++i) {
    std::string text = i % 2 ? kV2 : format_json(parse_genotype(kV2));
    for (int k = 0; k <= i % 3; ++k) text[random() % text.size()] = alphabet[random() % alphabet.size()];
    Genotype genotype;
    try {
      genotype = parse_genotype(text);
    } catch (const Error&) {
      continue;
    }
    ++accepted;
    EXPECT_NO_THROW(validate(genotype)) << text;
    EXPECT_EQ(parse_genotype(format_genotype(genotype)), genotype) << text;
  }
  EXPECT_GT(accepted, 10);
}

TEST(GenotypeJson, RoundTripAndErrors) {
  const std::string json =
      R"({"normal":[["sep_conv_3x3",0],["none",1]],"normal_concat":[0,2],"reduce":[["none",1],["none",1]],"reduce_concat":[2]})";
  const Genotype genotype = parse_genotype(" " + json);
  EXPECT_EQ(genotype.normal.edges[0], (Edge{CellOp::sep_conv_3x3, 0}));
  EXPECT_EQ(format_json(genotype), json);
  EXPECT_EQ(parse_genotype(changed(json, R"({"normal")", R"({"name": "A", "normal")")).name, "A");
  EXPECT_HAS(parse_error(json.substr(0, 40)), "not valid JSON");
  EXPECT_HAS(parse_error(changed(json, "sep_conv_3x3", "conv")), "normal[0]: unknown operation 'conv'");
  EXPECT_HAS(parse_error(changed(json, "[\"none\",1]", "[\"none\"]")), "normal[1]: expected [\"op\", input]");
  EXPECT_HAS(parse_error(changed(json, "[0,2]", "[0,-2]")), "normal_concat[1]: expected a state number, found -2");
  EXPECT_HAS(parse_error(changed(json, "[0,2]", "[0,2.0]")), "expected a state number");
  EXPECT_HAS(parse_error(changed(json, "[0,2]", "2")), "normal_concat: expected a list");
  EXPECT_HAS(parse_error(changed(json, "[0,2]", "[0,0]")), "state 0 is repeated");
  EXPECT_HAS(parse_error(changed(json, "reduce_concat", "reduce")), "key 'reduce' given twice");
  EXPECT_HAS(parse_error(changed(json, "reduce_concat", "concat")), "unknown key 'concat'");
  EXPECT_HAS(parse_error(R"({"normal":[]})"), "missing key 'normal_concat'");
}

TEST(Validate, NamesTheFault) {
  Genotype genotype = parse_genotype(kV2);
  EXPECT_NO_THROW(validate(genotype));
  genotype.reduce.edges[3].input = 3;
  EXPECT_HAS(error_of([&] { validate(genotype); }),
             "reduce edge 3 enters state 3, so its input must be 0 to 2, not 3");
}

TEST(Published, AllValidAndRoundTrip) {
  const std::vector<std::string> names = {"DARTS_V1",       "DARTS_V2", "PDARTS",     "PC_DARTS",
                                          "PC_DARTS_image", "GDAS_V1",  "SNAS",       "NASNet",
                                          "AmoebaNet",      "NASNet-A", "AmoebaNet-A"};
  std::vector<std::string> found;
  for (const Genotype& genotype : published_genotypes()) {
    found.push_back(genotype.name);
    EXPECT_NO_THROW(validate(genotype)) << genotype.name;
    EXPECT_EQ(parse_genotype(format_genotype(genotype)), genotype) << genotype.name;
    EXPECT_EQ(parse_genotype(format_json(genotype)), genotype) << genotype.name;
    EXPECT_EQ(genotype.normal.nodes(), genotype.name.find("Net") == std::string::npos ? 4 : 5);
  }
  EXPECT_EQ(found, names);
}

TEST(Published, SomeByHand) {
  EXPECT_EQ(format_genotype(load_genotype("darts")), kV2);
  EXPECT_EQ(load_genotype("pc-darts-cifar").name, "PC_DARTS");
  EXPECT_EQ(load_genotype("PDARTS").normal.edges.back(), (Edge{CellOp::dil_conv_5x5, 4}));
  EXPECT_EQ(load_genotype("gdas_v1").reduce.edges[4], (Edge{CellOp::dil_conv_5x5, 2}));

  const Genotype nasnet = load_genotype("NASNet"), nasnet_a = load_genotype("nasnet-a");
  EXPECT_EQ(nasnet.normal.edges, nasnet_a.normal.edges);
  EXPECT_EQ(nasnet.reduce.edges, nasnet_a.reduce.edges);
  EXPECT_EQ(nasnet.normal.edges[6], nasnet.normal.edges[7]);
  EXPECT_EQ(nasnet.normal.concat, (std::vector<int>{2, 3, 4, 5, 6}));
  EXPECT_EQ(nasnet_a.normal.concat, (std::vector<int>{0, 2, 3, 4, 5, 6}));
  EXPECT_EQ(nasnet_a.reduce.concat, (std::vector<int>{3, 4, 5, 6}));

  const Genotype amoeba_a = load_genotype("AmoebaNet-A");
  EXPECT_EQ(amoeba_a.normal.concat, (std::vector<int>{0, 3, 4, 6}));
  EXPECT_EQ(amoeba_a.reduce.edges[7], (Edge{CellOp::conv_7x1_1x7, 1}));
  EXPECT_EQ(load_genotype("AmoebaNet").reduce.edges[8], (Edge{CellOp::conv_7x1_1x7, 0}));
  EXPECT_EQ(amoeba_a.normal.edges[1], (Edge{CellOp::max_pool_3x3, 1}));
}

class LoadGenotype : public testing::Test {
 protected:
  std::string write(const std::string& text) {
    std::ofstream(path_) << text;
    return "@" + path_;
  }
  void TearDown() override { std::filesystem::remove(path_); }
  std::string path_ = (std::filesystem::temp_directory_path() /
                       ("mixop_genotype_test_" + std::to_string(std::random_device()()) + ".txt"))
                          .string();
};

TEST_F(LoadGenotype, TextOrUnknownName) {
  EXPECT_EQ(load_genotype(kV2), load_genotype("DARTS_V2"));
  const std::string error = error_of([] { load_genotype("NASNetA"); });
  EXPECT_HAS(error, "unknown genotype 'NASNetA'");
  EXPECT_HAS(error, "NASNet-A AmoebaNet-A");
}

TEST_F(LoadGenotype, LastOfAFile) {
  const std::string v1 = format_genotype(load_genotype("DARTS_V1"));
  EXPECT_EQ(load_genotype(write("07/08 05:56:53 AM genotype = " + v1 + "\n07/08 06:30:00 AM genotype = " + kV2 +
                                "\n07/08 06:31:00 AM valid_acc 89.110000\n")),
            load_genotype("DARTS_V2"));
  EXPECT_EQ(load_genotype(write("0\t" + std::string(kV2) + "\n1\t" + v1 + "\n")), load_genotype("DARTS_V1"));
  EXPECT_EQ(load_genotype(write("\n" + format_json(load_genotype("SNAS")))), load_genotype("SNAS"));
  EXPECT_EQ("@" + (std::filesystem::temp_directory_path() / load_genotype("@" + path_).name).string(), "@" + path_);
}

TEST_F(LoadGenotype, BadFiles) {
  EXPECT_HAS(error_of([&] { load_genotype("@" + path_); }), path_ + ": cannot read this genotype file");
  EXPECT_HAS(error_of([] { load_genotype("@/"); }), "/: cannot read this genotype file");
  const std::string empty = write(" \n");
  EXPECT_HAS(error_of([&] { load_genotype(empty); }), path_ + ": the genotype file is empty");
  write("epoch 1\n");
  EXPECT_HAS(error_of([&] { load_genotype("@" + path_); }), path_ + ": no 'Genotype(' in it");
  write("0\t" + std::string(kV2) + "\n1\t" + std::string(kV2, 30));
  EXPECT_HAS(error_of([&] { load_genotype("@" + path_); }),
             path_ + ", line 2, column 21: this quote is never closed");
  write("{\"normal\": 1}");
  EXPECT_HAS(error_of([&] { load_genotype("@" + path_); }), path_ + ": genotype JSON");
}

constexpr int kEdges4 = 14;
static_assert(edge_count(4) == kEdges4 && edge_count(1) == 2 && edge_count(5) == 20);

/// A table of zeros in which each (edge, column, value) is set.
struct Alpha {
  int edge, column;
  double value;
};
std::vector<double> table(const std::vector<Alpha>& alphas, int edges = kEdges4) {
  std::vector<double> result(8 * edges, 0.0);
  for (const Alpha& a : alphas) result[8 * a.edge + a.column] = a.value;
  return result;
}

TEST(Decode, EqualAlphasTakeTheFirstOfEverything) {
  const Genotype genotype = decode(table({}), std::vector<double>(8 * kEdges4, 3.5));
  for (const CellGenotype& cell : {genotype.normal, genotype.reduce}) {
    ASSERT_EQ(cell.edges.size(), 8u);
    for (int e = 0; e < 8; ++e) EXPECT_EQ(cell.edges[e], (Edge{CellOp::max_pool_3x3, e % 2}));
    EXPECT_EQ(cell.concat, (std::vector<int>{2, 3, 4, 5}));
  }
}

TEST(Decode, NoneCompetesButIsNotChosen) {
  // Node 1 has edges 2, 3, 4 from states 0, 1, 2. A strong `none` takes the weight of edge 2's skip, whose alpha is
  // the largest of the three, and ranks it last.
  const auto alphas = table({{2, 0, 9.0}, {2, 3, 2.0}, {3, 5, 1.0}, {4, 4, 1.5}});
  const CellGenotype cell = decode(alphas, table({})).normal;
  EXPECT_EQ(cell.edges[2], (Edge{CellOp::sep_conv_3x3, 2}));
  EXPECT_EQ(cell.edges[3], (Edge{CellOp::sep_conv_5x5, 1}));

  std::vector<double> all_none(8 * kEdges4, 0.0);
  for (int e = 0; e < kEdges4; ++e) all_none[8 * e] = 5;
  for (const Edge& edge : decode(all_none, all_none).normal.edges) EXPECT_EQ(edge.op, CellOp::max_pool_3x3);
}

TEST(Decode, RanksEdgesAndBreaksTies) {
  // Node 2: edges 5..8 from states 0..3. Edges 6 and 8 tie, each between two of its own operations; 5 is flat.
  const auto alphas = table({{6, 6, 1.0}, {6, 7, 1.0}, {8, 2, 1.0}, {8, 4, 1.0}, {7, 5, 0.8}});
  const CellGenotype cell = decode(table({}), alphas).reduce;
  // Sharing lowers a weight: the single 0.8 of edge 7 beats the doubled 1.0 of edges 6 and 8.
  const double pair = std::exp(1.0) / (2 * std::exp(1.0) + 6), single = std::exp(0.8) / (std::exp(0.8) + 7);
  ASSERT_GT(single, pair);
  EXPECT_EQ(cell.edges[4], (Edge{CellOp::sep_conv_5x5, 2}));
  EXPECT_EQ(cell.edges[5], (Edge{CellOp::dil_conv_3x3, 1}));
}

TEST(Decode, HandMadeCell) {
  // The DARTS_V2 normal cell: the first edge of each node gets the larger alpha.
  const auto alphas = table(
      {{0, 4, 2.0}, {1, 4, 1.0}, {2, 4, 2.0}, {3, 4, 1.0}, {6, 4, 2.0}, {5, 3, 1.0}, {9, 3, 2.0}, {11, 6, 1.0}});
  EXPECT_EQ(decode(alphas, alphas).normal, load_genotype("DARTS_V2").normal);
}

TEST(Decode, OtherNodeCounts) {
  const auto alphas = table({{4, 7, 1.0}, {3, 6, 0.5}}, edge_count(2));
  const Genotype genotype = decode(alphas, alphas, 2);
  EXPECT_EQ(genotype.normal.edges[2], (Edge{CellOp::dil_conv_5x5, 2}));
  EXPECT_EQ(genotype.normal.edges[3], (Edge{CellOp::dil_conv_3x3, 1}));
  EXPECT_EQ(genotype.normal.concat, (std::vector<int>{2, 3}));
}

TEST(Decode, HugeAlphasDoNotOverflow) {
  const CellGenotype cell = decode(table({{1, 4, 4000.0}, {0, 3, -4000.0}}), table({})).normal;
  EXPECT_EQ(cell.edges[0], (Edge{CellOp::sep_conv_3x3, 1}));
}

TEST(Decode, RefusesBadTables) {
  const auto good = table({});
  EXPECT_HAS(error_of([&] { decode(std::vector<double>(100), good); }),
             "the normal alpha table has 100 values, expected 14 edges x 8 operations = 112");
  EXPECT_HAS(error_of([&] { decode(good, good, 5); }), "expected 20 edges");
  EXPECT_HAS(error_of([&] { decode(good, good, 0); }), "at least 1 node");
  const auto nan = table({{3, 4, std::numeric_limits<double>::quiet_NaN()}});
  EXPECT_HAS(error_of([&] { decode(good, nan); }), "the reduction alpha table, edge 3, sep_conv_3x3 is nan");
}

TEST(Decode, ChooseCellTakesWeightsAsTheyAre) {
  // As alphas, the large `none` of edge 1 would rank it behind edge 0.
  const auto weights = table({{0, 3, 0.3}, {1, 0, 5.0}, {1, 4, 0.4}}, edge_count(1));
  const std::vector<Edge> plain = {{CellOp::sep_conv_3x3, 1}, {CellOp::skip_connect, 0}};
  EXPECT_EQ(choose_cell(weights, 1).edges, plain);
  EXPECT_NE(decode(weights, weights, 1).normal.edges, plain);
}

}  // namespace
}  // namespace mixop::nas
