// The grouped lowering of the supernet against the reference lowering: the same tensors in the stores, the same
// values and gradients, the same searches.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <map>

#include "autograd/checkpoint.h"
#include "autograd/ops/cross_entropy.h"
#include "datasets/loader.h"
#include "datasets/open.h"
#include "kernels/core/rng.h"
#include "nas/genotypes_published.h"
#include "nas/network.h"
#include "nas/search/darts.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::TensorStore;
using autograd::Value;
using kernels::DType;
using nas::DartsOptions;
using nas::DartsSearch;
using nas::Lowering;
using nas::SupernetOptions;

constexpr Lowering kLowerings[] = {Lowering::kReference, Lowering::kGrouped};

/// A normal, a reduction and a normal cell behind a reduction.
DartsOptions tiny(Lowering lowering) {
  DartsOptions o;
  o.net = {.channels = 4, .cells = 3, .height = 8, .width = 8, .reduction_cells = {1}, .lowering = lowering};
  o.arch_lr = 3e-3;  // so that few steps move the alphas far beyond where they start
  return o;
}

struct Images {
  std::vector<float> pixels;
  std::vector<int32_t> labels;
  nas::Batch batch() const { return {pixels.data(), labels.data(), static_cast<int64_t>(labels.size())}; }
  explicit Images(uint64_t seed, size_t n = 4) : pixels(n * 8 * 8 * 3), labels(n) {
    for (size_t i = 0; i < n; ++i) labels[i] = static_cast<int32_t>(kernels::philox(seed, 1, i)[0] % 10);
    for (size_t i = 0; i < pixels.size(); ++i)  // each class has its own mean
      pixels[i] = static_cast<float>(kernels::normal(seed, 0, i) + 0.1 * labels[i / (8 * 8 * 3)]);
  }
};

void steps(DartsSearch& search, uint64_t count) {
  for (uint64_t s = 0; s < count; ++s) {
    search.arch_step(Images(100 + s).batch());
    search.weight_step(Images(200 + s).batch());
  }
}

std::vector<double> values(const kernels::View& v) {
  std::vector<double> result(static_cast<size_t>(v.shape.elements()));
  for (size_t i = 0; i < result.size(); ++i)
    result[i] = v.dtype == DType::kF64 ? v.as<double>()[i] : double{v.as<float>()[i]};
  return result;
}

/// The largest difference over the largest magnitude of `want`.
double deviation(const std::vector<double>& want, const std::vector<double>& got) {
  EXPECT_EQ(want.size(), got.size());
  double difference = 0, magnitude = 0;
  for (size_t i = 0; i < want.size(); ++i) {
    EXPECT_TRUE(std::isfinite(want[i]) && std::isfinite(got[i]));
    difference = std::max(difference, std::abs(want[i] - got[i]));
    magnitude = std::max(magnitude, std::abs(want[i]));
  }
  return difference == 0 ? 0 : difference / magnitude;
}

using Build = std::function<nas::NetworkOutputs(Graph&, Value images, nas::Stores&)>;

/// Name to value: logits, loss, the gradients of all weights and alphas, and the running statistics afterwards.
std::map<std::string, std::vector<double>> forward_and_backward(const Build& build, bool fuse) {
  nas::Stores stores(DType::kF64, 5);
  Graph g(DType::kF64);
  const Value images = g.input("images", {4, 8, 8, 3});
  const Value labels = g.input("labels", {4}, DType::kI32);
  const nas::NetworkOutputs net = build(g, images, stores);
  const Value loss = autograd::cross_entropy(g, net.logits, labels);
  std::vector<std::string> names;
  std::vector<Value> wrt;
  for (TensorStore* store : {&stores.weights, &stores.alphas})
    for (const auto& entry : store->entries()) {
      names.push_back(entry.name);
      wrt.push_back(g.tensor(*store, entry.name, entry.shape));
    }
  std::vector<Value> asked = autograd::gradients(g, loss, wrt);
  for (size_t i = 0; i < asked.size(); ++i)
    if (!asked[i]) {
      ADD_FAILURE() << names[i] << " has no gradient";
      return {};
    }
  names.insert(names.end(), {"logits", "loss"});
  asked.insert(asked.end(), {net.logits, loss});

  autograd::Plan plan(g, asked, nullptr, {.fuse = fuse, .poison = true});
  for (TensorStore* store : stores.all()) store->bind();
  if (const int keep = stores.state.find("drop_path.keep"); keep >= 0)
    stores.state.view(keep).as<double>()[0] = 0.7;
  const Images data(1);
  nas::feed(plan, data.batch());
  plan.run();
  std::map<std::string, std::vector<double>> result;
  for (size_t i = 0; i < names.size(); ++i) result[names[i]] = values(plan.output(asked[i]));
  for (size_t i = 0; i < stores.state.entries().size(); ++i)
    result[stores.state.entry(static_cast<int>(i)).name] = values(stores.state.view(static_cast<int>(i)));
  return result;
}

std::map<std::string, std::vector<double>> forward_and_backward(Lowering lowering, bool fuse) {
  return forward_and_backward(
      [&](Graph& g, Value images, nas::Stores& stores) {
        return nas::build_supernet(g, images, stores, tiny(lowering).net, true);
      },
      fuse);
}

TEST(Lowering, SameOutputsAndGradientsInFloat64) {
  const auto want = forward_and_backward(Lowering::kReference, true);
  for (const bool fuse : {true, false}) {
    auto got = forward_and_backward(Lowering::kGrouped, fuse);
    ASSERT_EQ(want.size(), got.size());
    for (const auto& [name, v] : want) EXPECT_LT(deviation(v, got[name]), 1e-10) << name << ", fused: " << fuse;
    EXPECT_TRUE(got.count("alphas_normal") && got.count("alphas_reduce"));
  }
}

nas::NetworkOptions derived(const nas::Genotype& genotype, bool drop_path) {
  return {.genotype = genotype, .channels = 4, .cells = 4, .height = 8, .width = 8, .drop_path = drop_path};
}

TEST(Lowering, DerivedNetworksAreTheSameFused) {
  std::vector<nas::Genotype> genotypes;
  for (const char* name : {"DARTS_V1", "DARTS_V2", "PDARTS", "PC_DARTS"})
    genotypes.push_back(*nas::find_published(name));
  genotypes.push_back(genotypes[1]);  // with a node that asks for one pooling twice
  genotypes.back().reduce.edges[1] = genotypes.back().reduce.edges[0];
  for (const nas::Genotype& genotype : genotypes)
    for (const bool drop_path : {true, false}) {
      const Build build = [&](Graph& g, Value images, nas::Stores& stores) {
        return nas::build_network(g, images, stores, derived(genotype, drop_path), true);
      };
      const auto want = forward_and_backward(build, false);
      auto got = forward_and_backward(build, true);
      ASSERT_EQ(want.size(), got.size());
      for (const auto& [name, v] : want)
        EXPECT_LT(deviation(v, got[name]), 1e-10) << format_genotype(genotype) << " " << name;
    }
}

TEST(Lowering, DerivedNetworksPoolAStateOnce) {
  Graph g;
  nas::Stores stores(kernels::DType::kF32, 0);
  nas::build_network(g, g.input("images", {1, 8, 8, 3}), stores, derived(*nas::find_published("DARTS_V2"), true),
                     true);
  int pools = 0;
  for (int i = 0; i < g.size(); ++i) pools += g.node(i).op && std::string_view(g.node(i).op->name) == "max_pool";
  EXPECT_EQ(pools, 4);  // two reduction cells, of each the poolings of two states, which five edges ask for
}

TEST(Lowering, RunningStatisticsOfSharedPoolsAgreeAndMove) {
  for (const Lowering lowering : kLowerings) {
    DartsSearch search(tiny(lowering), {{4}, {4}, {}});
    steps(search, 1);
    TensorStore& state = search.stores().state;
    const auto get = [&](int edge, const std::string& op, const std::string& what) {
      const int i = state.find("cells.0.edge." + std::to_string(edge) + "." + op + ".bn." + what);
      EXPECT_GE(i, 0);
      return values(state.view(i));
    };
    // Edges of the four nodes: {0 1} {2 3 4} {5 6 7 8} {9 .. 13}; by source:
    const std::vector<std::vector<int>> sources = {{0, 2, 5, 9}, {1, 3, 6, 10}, {4, 7, 11}, {8, 12}, {13}};
    for (const std::string op : {"max_pool_3x3", "avg_pool_3x3"})
      for (const std::string what : {"running_mean", "running_var"})
        for (const auto& edges : sources) {
          const auto first = get(edges[0], op, what);
          EXPECT_NE(first, std::vector<double>(first.size(), what == "running_var" ? 1.0 : 0.0));
          for (const int edge : edges) EXPECT_EQ(first, get(edge, op, what)) << op << " of edge " << edge;
        }
  }
}

TEST(Lowering, StoresHaveTheSameLayoutAndInitialValues) {
  DartsSearch reference(tiny(Lowering::kReference), {{4}, {4}, {4}});
  for (const nas::DartsSearch::BatchSizes& sizes :
       {DartsSearch::BatchSizes{{4}, {4}, {4}}, {{}, {}, {4}}, {{4}, {}, {}}}) {
    DartsSearch grouped(tiny(Lowering::kGrouped), sizes);
    const std::pair<TensorStore*, TensorStore*> pairs[] = {{&reference.stores().weights, &grouped.stores().weights},
                                                           {&reference.stores().alphas, &grouped.stores().alphas},
                                                           {&reference.stores().state, &grouped.stores().state}};
    for (const auto& [a, b] : pairs) {
      ASSERT_EQ(a->entries().size(), b->entries().size());
      for (size_t i = 0; i < a->entries().size(); ++i) {
        const int entry = static_cast<int>(i);
        EXPECT_EQ(a->entry(entry).name, b->entry(entry).name);
        EXPECT_EQ(a->entry(entry).offset, b->entry(entry).offset);
        EXPECT_EQ(values(a->view(entry)), values(b->view(entry))) << a->entry(entry).name;
      }
    }
  }
}

TEST(Lowering, GroupedPoolsOncePerState) {
  // 3 plans of 3 cells with 14 edges and 5 states that are read, two kinds of pools each.
  std::map<Lowering, size_t> pools;
  for (const Lowering lowering : kLowerings) {
    const DartsSearch search(tiny(lowering), {{4}, {4}, {4}}, DType::kF32, {.fuse = false});
    for (const autograd::Plan* plan : {&search.arch_plan(), &search.weight_plan(), &search.eval_plan()})
      for (const auto& step : plan->steps()) pools[lowering] += step.op == "max_pool" || step.op == "avg_pool";
  }
  EXPECT_EQ(pools[Lowering::kReference], 3u * 3 * 14 * 2);
  EXPECT_EQ(pools[Lowering::kGrouped], 3u * 3 * 5 * 2);
}

TEST(Lowering, NothingButFusedNodesIsLeftOfCells) {
  DartsOptions o = tiny(Lowering::kGrouped);
  o.net.reduction_cells = {-1};  // 3 cells of 5 states that are read and 4 nodes
  const DartsSearch search(o, {{4}, {4}, {}});
  for (const bool weights : {false, true}) {
    std::map<std::string, int> count;
    for (const auto& step : (weights ? search.weight_plan() : search.arch_plan()).steps()) ++count[step.op];
    EXPECT_EQ(count["pool_stats"], 3 * 5);  // each with both poolings of a state
    // The architecture step needs no gradient of the stem, hence none of the inputs of the first cell and of one
    // input of the second.
    EXPECT_EQ(count["pool_stats_grad"], 3 * 5 - (weights ? 0 : 3));
    EXPECT_EQ(count["mix"], 3 * 4);  // the nodes, nothing on the way back
    EXPECT_EQ(count["mix_reduce"] + count["mix_weight_grad"], 3 * 4);
    EXPECT_LE(count["bn_reduce"], weights ? 3 * 2 + 1 : 3 * 2 - 3);  // of the preprocessing and the stem
    for (const char* op : {"bn_apply", "scale", "copy", "max_pool_grad", "avg_pool_grad"})
      EXPECT_EQ(count[op], 0) << op;
  }
}

TEST(Lowering, SameGenotypeAfterAShortSearchInFloat64) {
  std::vector<double> alphas[2];
  nas::Genotype genotypes[2];
  for (const Lowering lowering : kLowerings) {
    DartsSearch search(tiny(lowering), {{4}, {4}, {}}, DType::kF64);
    const nas::Genotype start = search.genotype();
    steps(search, 12);
    const int i = lowering == Lowering::kGrouped;
    genotypes[i] = search.genotype();
    EXPECT_NE(nas::format_genotype(start), nas::format_genotype(genotypes[i])) << "the search did nothing";
    for (const std::string table : {"alphas_normal", "alphas_reduce"})
      for (const double a : search.alphas(table)) alphas[i].push_back(a);
  }
  EXPECT_EQ(nas::format_genotype(genotypes[0]), nas::format_genotype(genotypes[1]));
  EXPECT_LT(deviation(alphas[0], alphas[1]), 1e-8);
}

TEST(Lowering, SameGenotypeAfterAShortSearchOnFashionMnistInFloat64) {
  const char* root = "/usr/share/datasets/fashion-mnist";
  if (!fs::exists(root)) GTEST_SKIP() << root << " is absent; apt install dataset-fashion-mnist";
  const datasets::Dataset data = datasets::open_train("fashion-mnist");
  const auto halves = datasets::darts_split(2000, 0.5);
  constexpr int64_t kBatch = 4;
  std::string genotypes[2];
  std::vector<double> alphas[2];
  for (const Lowering lowering : kLowerings) {
    DartsOptions o = tiny(lowering);
    o.net.channels = 2;
    o.net.height = o.net.width = 28;
    o.net.image_channels = 1;
    DartsSearch search(o, {{kBatch}, {kBatch}, {}}, DType::kF64);
    using datasets::Order;
    const datasets::Augment augment = datasets::normalisation_of(data);
    datasets::Loader train(data, halves.weights, kBatch, augment, Order::kShuffle, 1);
    datasets::Loader valid(data, halves.alphas, kBatch, augment, Order::kRandomBatch, 2);
    const auto view = [](const datasets::Batch& b) {
      return nas::Batch{.images = b.images.data(), .labels = b.labels.data(), .size = b.size};
    };
    const std::string start = nas::format_genotype(search.genotype());
    for (int s = 0; s < 4; ++s) {
      search.arch_step(view(valid.next()));
      search.weight_step(view(train.next()));
    }
    const int i = lowering == Lowering::kGrouped;
    genotypes[i] = nas::format_genotype(search.genotype());
    alphas[i] = search.alphas("alphas_normal");
    EXPECT_NE(start, genotypes[i]) << "the search did nothing";
  }
  EXPECT_EQ(genotypes[0], genotypes[1]);
  EXPECT_LT(deviation(alphas[0], alphas[1]), 1e-8);
}

TEST(Lowering, AlphasStayTogetherInFloat32) {
  for (const std::string table : {"alphas_normal", "alphas_reduce"}) {
    std::vector<double> alphas[2];
    for (const Lowering lowering : kLowerings) {
      DartsOptions o = tiny(lowering);
      o.arch_lr = 3e-4;  // as a search has it
      DartsSearch search(o, {{4}, {4}, {}});
      const std::vector<double> start = search.alphas(table);
      steps(search, 20);
      alphas[lowering == Lowering::kGrouped] = search.alphas(table);
      EXPECT_GT(deviation(start, search.alphas(table)), 0.1);
    }
    for (size_t i = 0; i < alphas[0].size(); ++i) EXPECT_NEAR(alphas[0][i], alphas[1][i], 1e-3);
  }
}

TEST(Lowering, CheckpointsAreInterchangeable) {
  for (const Lowering written : kLowerings) {
    const Lowering other = written == Lowering::kGrouped ? Lowering::kReference : Lowering::kGrouped;
    DartsSearch from(tiny(written), {{4}, {4}, {4}}), to(tiny(other), {{4}, {4}, {4}});
    steps(from, 3);
    const std::string checkpoint = autograd::to_safetensors(from.stores().all());
    autograd::from_safetensors(checkpoint, "memory", to.stores().all());
    EXPECT_EQ(checkpoint, autograd::to_safetensors(to.stores().all()));
    const Images images(7);
    const double loss = from.evaluate(images.batch()).mean_loss();
    EXPECT_NEAR(loss, to.evaluate(images.batch()).mean_loss(), 1e-5 * std::abs(loss));
    // And the run goes on in the same way.
    const double next = from.weight_step(images.batch()).mean_loss();
    EXPECT_NEAR(next, to.weight_step(images.batch()).mean_loss(), 1e-5 * std::abs(next));
  }
}

TEST(Lowering, EvaluationUsesTheRunningStatisticsOfEachEdge) {
  // A checkpoint whose edges disagree, as neither lowering writes it, means the same to both.
  double losses[2], before[2];
  for (const Lowering lowering : kLowerings) {
    DartsSearch search(tiny(lowering), {{}, {}, {4}}, DType::kF64);
    const int i = lowering == Lowering::kGrouped;
    const Images images(7);
    before[i] = search.evaluate(images.batch()).mean_loss();
    const int entry = search.stores().state.find("cells.0.edge.5.avg_pool_3x3.bn.running_mean");
    ASSERT_GE(entry, 0);
    search.stores().state.view(entry).as<double>()[1] = 2.5;
    losses[i] = search.evaluate(images.batch()).mean_loss();
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-10 * losses[0]);
  EXPECT_GT(std::abs(losses[0] - before[0]), 1e-6);
}

TEST(Lowering, FusedAndUnfusedAgreeUnderGrouped) {
  std::vector<double> alphas[2];
  double losses[2];
  for (const bool fused : {false, true}) {
    DartsSearch search(tiny(Lowering::kGrouped), {{4}, {4}, {4}}, DType::kF32, {.fuse = fused});
    steps(search, 3);
    alphas[fused] = search.alphas("alphas_normal");
    losses[fused] = search.evaluate(Images(7).batch()).mean_loss();
  }
  EXPECT_LT(deviation(alphas[0], alphas[1]), 1e-3);
  EXPECT_NEAR(losses[0], losses[1], 1e-4 * losses[0]);
}

TEST(Lowering, ManyNodesShareOneNormInParts) {
  // More edges leave a state than one norm has pairs of running statistics.
  double losses[2];
  for (const Lowering lowering : kLowerings) {
    DartsOptions o = tiny(lowering);
    o.net.cells = 1;
    o.net.reduction_cells = {-1};
    o.net.nodes = o.net.multiplier = 10;
    o.net.operations = {nas::CellOp::max_pool_3x3, nas::CellOp::skip_connect};
    DartsSearch search(o, {{4}, {4}, {}}, DType::kF64);
    steps(search, 2);
    losses[lowering == Lowering::kGrouped] = search.weight_step(Images(7).batch()).mean_loss();
    for (const auto& entry : search.stores().state.entries())
      if (entry.name.ends_with("running_mean")) {
        const auto v = values(search.stores().state.view(search.stores().state.find(entry.name)));
        EXPECT_TRUE(std::any_of(v.begin(), v.end(), [](double x) { return x != 0; })) << entry.name;
      }
  }
  EXPECT_NEAR(losses[0], losses[1], 1e-10 * losses[0]);
}

TEST(Lowering, TheCommandRecordsItAndRefusesToChangeIt) {
  const TemporaryDirectory dir;
  const auto search = [&](const Arguments& more) { return run(kSearch + Arguments{"--out", dir / "run"} + more); };
  const Outcome first = search({"--lowering", "reference", "--max-steps", "1"});
  ASSERT_EQ(first.status, 0) << first.err;
  EXPECT_EQ(Json::parse(read(dir / "run" / "run.json")).at("config").at("search").at("lowering"), "reference");
  const Outcome other = search({"--lowering", "grouped", "--resume"});
  EXPECT_NE(other.status, 0);
  EXPECT_NE(other.err.find("search.lowering"), std::string::npos) << other.err;
  EXPECT_EQ(search({"--max-steps", "2", "--resume"}).status, 0);
  EXPECT_EQ(search({"--lowering", "by_target", "--force"}).status, 2);

  EXPECT_EQ(run({"plan", "DARTS_V2", "--lowering", "grouped"}).status, 2);
}

TEST(Lowering, TheCommandsFollowIt) {
  std::map<std::string, size_t> nodes;
  std::map<std::string, std::string> sizes;
  for (const std::string name : {"grouped", "reference"}) {
    const Arguments lowering = {"--lowering", name};
    const Outcome plan = run(Arguments{"plan", "supernet", "--channels", "4", "--cells", "2", "--json"} + lowering);
    ASSERT_EQ(plan.status, 0) << plan.err;
    const Json parsed = Json::parse(plan.out);
    for (const Json& p : parsed.at("plans")) nodes[name] += p.at("nodes").size();
    const Outcome search = run(kSearch + Arguments{"--channels", "8", "--nodes", "4", "--dry-run"} + lowering);
    ASSERT_EQ(search.status, 0) << search.err;
    sizes[name] = search.out.substr(search.out.find("memory:"));
  }
  EXPECT_LT(nodes["grouped"], nodes["reference"]);
  EXPECT_NE(sizes["grouped"], sizes["reference"]);
}

TEST(Lowering, NamesAreParsed) {
  for (const Lowering lowering : kLowerings)
    EXPECT_EQ(nas::parse_lowering(std::string(nas::lowering_name(lowering))), lowering);
  EXPECT_THROW(nas::parse_lowering("Grouped"), Error);
}

}  // namespace
}  // namespace mixop::test
