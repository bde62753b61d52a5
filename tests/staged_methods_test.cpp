// P-DARTS and DrNAS: what is mixed and drawn, what is left after each stage, and what the cell is decoded to.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "autograd/ops/binary.h"
#include "autograd/ops/reduce.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "nas/decode.h"
#include "nas/network.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/darts.h"
#include "nas/search/dirichlet.h"
#include "nas/search/kept_candidates.h"
#include "nas/search/skip_limit.h"
#include "tests/support/numbers.h"
#include "tests/support/small_runs.h"

namespace mixop::test {
namespace {

using namespace mixop::nas;

std::unique_ptr<AlphaMethod> make(const std::string& name, const std::map<std::string, std::string>& given = {}) {
  const AlphaMethodInfo& info = find_alpha_method(name);
  Settings settings(info.settings);
  for (const auto& [setting, value] : given) settings.set(setting, value);
  return info.make(settings);
}

std::string error_of(const std::function<void()>& f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

/// Strengths of that many edges, each row a softmax of random numbers.
TableValues random_rows(uint64_t seed, int rows) {
  TableValues logits;
  for (uint64_t i = 0; i < static_cast<uint64_t>(rows) * 8; ++i) logits.push_back(2 * kernels::normal(seed, 0, i));
  return softmax_rows(logits, 8);
}

struct Images {
  std::vector<float> pixels;
  std::vector<int32_t> labels;
  Batch batch() const { return {pixels.data(), labels.data(), static_cast<int64_t>(labels.size())}; }
  explicit Images(uint64_t seed) : pixels(2 * 8 * 8 * 3), labels{0, 2} {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = static_cast<float>(kernels::normal(seed, 0, i));
  }
};

DartsOptions tiny(int epochs) {
  DartsOptions o;
  o.net = {.channels = 4, .classes = 3, .cells = 3, .nodes = 2, .multiplier = 2, .height = 8, .width = 8};
  o.epochs = epochs;
  return o;
}

TEST(KeptCandidates, LeavesTheStrongest) {
  KeptCandidates kept({{"t", 2, {"none", "a", "b", "c"}}});
  kept.keep_strongest({{0.1, 0.4, 0.2, 0.3, 0.25, 0.25, 0.25, 0.25}}, 3);
  EXPECT_EQ(kept.table(0), (std::vector<bool>{false, true, true, true, false, true, true, true}));
  // What is left out stays out, however strong.
  kept.keep_strongest({{0.9, 0.1, 0.3, 0.2, 0.9, 0.3, 0.2, 0.1}}, 1);
  EXPECT_EQ(kept.entries(0), (std::vector<std::vector<size_t>>{{2}, {5}}));
  KeptCandidates again({{"t", 2, {"none", "a", "b", "c"}}});
  again.load(kept.save());
  EXPECT_EQ(again.table(0), kept.table(0));
  const TableValues p = again.softmax(0, {5, 5, 0, 0, 0, 0, 0, 0});
  EXPECT_EQ(p, (TableValues{0, 0, 1, 0, 0, 1, 0, 0}));
}

TEST(KeptCandidates, StagesAreListsOfNumbers) {
  EXPECT_EQ(parse_stages("keep", "8,5,3"), (std::vector<double>{8, 5, 3}));
  for (const char* bad : {"", "8,", "8;5", "a", "8, 5"})
    EXPECT_NE(error_of([&] { parse_stages("keep", bad); }).find("setting keep"), std::string::npos) << bad;
}

TEST(KeptCandidates, ASupernetWithoutThemIsTheOneInWhichTheirWeightIsZero) {
  SupernetOptions o = tiny(1).net;
  KeptCandidates kept({{"normal", o.edges(), std::vector<std::string>(8, "")}, {"reduce", o.edges(), {8, ""}}});
  const std::vector<TableValues> strengths = {random_rows(1, o.edges()), random_rows(2, o.edges())};
  kept.keep_strongest(strengths, 4);
  for (const Lowering lowering : {Lowering::kGrouped, Lowering::kReference}) {
    o.lowering = lowering;
    std::vector<double> logits[2];
    int64_t weights[2];
    for (const bool masked : {false, true}) {
      Stores stores(kernels::DType::kF64, 3);
      Graph g(kernels::DType::kF64);
      const Value images = g.input("images", {2, 8, 8, 3});
      std::vector<Mixing> mixing;
      for (size_t t = 0; t < 2; ++t) {
        mixing.push_back({g.input("table" + std::to_string(t), {o.edges(), 8})});
        if (masked) mixing.back().kept = kept.table(t);
      }
      const Value out = build_supernet(g, images, stores, o, mixing[0], mixing[1], true).logits;
      autograd::Plan plan(g, {out});
      for (autograd::TensorStore* store : stores.all()) store->bind();
      set_numbers(plan.input("images"), [](int64_t i) { return kernels::normal(4, 0, static_cast<uint64_t>(i)); });
      for (size_t t = 0; t < 2; ++t)
        for (size_t i = 0; i < strengths[t].size(); ++i)
          plan.input("table" + std::to_string(t)).as<double>()[i] = kept.table(t)[i] ? strengths[t][i] : 0;
      plan.run();
      logits[masked] = numbers_of(plan.output(out));
      weights[masked] = stores.weights.elements();
    }
    EXPECT_LT(weights[1], weights[0]);
    for (size_t i = 0; i < logits[0].size(); ++i) EXPECT_NEAR(logits[0][i], logits[1][i], 1e-10);
  }
}

TEST(PDarts, CountsOfTheFirstStage) {
  SupernetOptions o;
  o.cells = 5;
  const NetworkSize size = measure_network(
      [&](Graph& g, Value images, Stores& stores, bool training) {
        const auto method = make("p-darts");
        const auto space = method->make_space(o);
        return space->build(g, images, stores, method->mix(g, stores, *space, StepKind::kWeights), training);
      },
      32, 32, 3);
  EXPECT_EQ(size.parameters, 1275834);
  EXPECT_NEAR(size.macs / 1e6, 186.7, 0.05);
}

TEST(PDarts, DropoutOfSkipsFallsSlowlyThenFast) {
  const auto method = make("p-darts");
  const auto keep = [&](int epoch) {
    method->begin_epoch(epoch, 25);
    return method->feeds().at("skip_keep")[0];
  };
  EXPECT_NEAR(keep(0), 1 - 0.1 * 24 / 25, 1e-12);
  EXPECT_NEAR(keep(9), 1 - 0.1 * 15 / 25, 1e-12);
  EXPECT_NEAR(keep(10), 1 - 0.1, 1e-12);
  EXPECT_NEAR(keep(13), 1 - 0.1 * std::exp(-0.6), 1e-12);
  EXPECT_FALSE(method->moves_alphas(9));
  EXPECT_TRUE(method->moves_alphas(10));
}

// The authors' script, with its tables of switches: one operation an edge by the largest probability that is not
// none's, two edges a node; then the weakest skip is taken away as long as there are too many.
struct Script {
  TableValues p;  // [14, 8]
  std::vector<int> op;
  std::vector<bool> on;
  explicit Script(const TableValues& strengths) : p(strengths), op(14), on(14) { choose(); }
  double best(int e) const { return p[static_cast<size_t>(e * 8 + op[static_cast<size_t>(e)])]; }
  void choose() {
    for (int e = 0; e < 14; ++e) {
      op[static_cast<size_t>(e)] = 1;
      for (int k = 2; k < 8; ++k)
        if (p[static_cast<size_t>(e * 8 + k)] > best(e)) op[static_cast<size_t>(e)] = k;
    }
    on.assign(14, false);
    for (int n = 0, first = 0; n < 4; first += n + 2, ++n)
      for (int kept = 0; kept < 2; ++kept) {
        int strongest = -1;
        for (int e = first; e < first + n + 2; ++e)
          if (!on[static_cast<size_t>(e)] && (strongest < 0 || best(e) > best(strongest))) strongest = e;
        on[static_cast<size_t>(strongest)] = true;
      }
  }
  int skips() const {
    int count = 0;
    for (size_t e = 0; e < 14; ++e) count += on[e] && op[e] == 3;
    return count;
  }
  void restrict_to(int most) {
    while (skips() > most) {
      size_t weakest = 14;
      for (size_t e = 0; e < 14; ++e)
        if (on[e] && op[e] == 3 && (weakest == 14 || p[e * 8 + 3] < p[weakest * 8 + 3])) weakest = e;
      p[weakest * 8 + 3] = 0;
      choose();
    }
  }
};

TEST(PDarts, SkipsAreTakenAwayAsInTheAuthorsScript) {
  const auto space = darts_mixed_space({});
  int restricted = 0;
  for (uint64_t seed = 0; seed < 30; ++seed) {
    TableValues normal = random_rows(seed, 14);
    for (size_t e = 0; e < 14; ++e) normal[e * 8 + 3] *= 3;  // collapse
    const TableValues reduce = random_rows(100 + seed, 14);
    const CellGenotype before = parse_genotype(space->decode_text({normal, reduce})).normal;
    for (int most = 8; most >= 0; --most) {
      Script script(normal);
      restricted += script.skips() > most;
      script.restrict_to(most);
      const Genotype g = parse_genotype(decode_with_skips(*space, {normal, reduce}, most));
      EXPECT_LE(count_skips(g.normal), most);
      if (count_skips(before) <= most) {
        EXPECT_EQ(g.normal, before);
      }
      EXPECT_EQ(g.reduce, parse_genotype(space->decode_text({normal, reduce})).reduce);
      for (int n = 0, first = 0; n < 4; first += n + 2, ++n)
        for (int j = 0; j < n + 2; ++j) {
          const auto e = static_cast<size_t>(first + j);
          const Edge want{kDartsOps[static_cast<size_t>(script.op[e])], j};
          const auto* edges = &g.normal.edges[static_cast<size_t>(2 * n)];
          EXPECT_EQ(edges[0] == want || edges[1] == want, script.on[e]) << seed << " " << most << " " << e;
        }
    }
  }
  EXPECT_GT(restricted, 50);
}

TEST(PDarts, StagesAreDeeperWithFewerCandidatesAndNewNumbers) {
  DartsSearch search(tiny(2), {{2}, {2}, {2}}, kernels::DType::kF32, {}, {},
                     make("p-darts", {{"warmup", "1"}, {"deepen", "1"}}));
  EXPECT_EQ(search.epochs(), 6);
  const Images images(1);
  std::vector<int64_t> weights;
  std::vector<std::vector<double>> first_alphas;
  for (int epoch = 0; epoch < 6; ++epoch) {
    search.begin_epoch(epoch);
    EXPECT_EQ(search.stage(), epoch / 2);
    EXPECT_NEAR(search.learning_rate(), epoch % 2 ? 0.013 : 0.025, 1e-6);
    if (epoch % 2 == 0) {
      weights.push_back(search.stores().weights.elements());
      first_alphas.push_back(search.alphas("alphas_normal"));
      EXPECT_EQ(search.stores().optimizer.get("alphas.step"), 0);
    }
    if (search.method().moves_alphas(epoch % 2)) search.arch_step(images.batch());
    EXPECT_TRUE(std::isfinite(search.weight_step(images.batch()).mean_loss()));
    EXPECT_TRUE(std::isfinite(search.evaluate(images.batch()).mean_loss()));
    int kept = 0;
    for (const TableValues& t : search.method().strengths(search.space(), search.alphas()))
      for (const double p : t) kept += p > 0;
    EXPECT_EQ(kept, 2 * 5 * (epoch < 2 ? 8 : epoch < 4 ? 5 : 3));
    EXPECT_LE(count_skips(search.genotype().normal), 2);
  }
  EXPECT_NE(first_alphas[0], first_alphas[1]);
  EXPECT_NE(first_alphas[1], first_alphas[2]);
  EXPECT_EQ(weights.size(), 3u);
}

TEST(PDarts, AlphasThatAreLeftOutGetNoGradient) {
  DartsOptions o = tiny(1);
  o.arch = {.beta1 = 0, .beta2 = 0, .weight_decay = 0};
  DartsSearch search(o, {{2}, {2}, {}}, kernels::DType::kF64, {}, {}, make("p-darts", {{"warmup", "0"}}));
  const Images images(1);
  search.begin_epoch(0);
  search.arch_step(images.batch());
  search.begin_epoch(1);
  search.arch_step(images.batch());
  const double* g = search.stores().optimizer.view(search.stores().optimizer.find("alphas.m")).as<double>();
  const auto tables = search.method().strengths(search.space(), search.alphas());
  for (size_t t = 0; t < 2; ++t)
    for (size_t row = 0; row < 5; ++row) {
      double sum = 0;
      int moved = 0;
      for (size_t k = 0; k < 8; ++k) {
        const double v = g[t * 40 + row * 8 + k];
        if (tables[t][row * 8 + k] == 0) {
          EXPECT_EQ(v, 0);
        }
        sum += v;
        moved += v != 0;
      }
      EXPECT_GE(moved, 4);
      EXPECT_LT(std::abs(sum), 1e-12);
    }
}

TEST(PDarts, DropoutChangesTheStepsNotTheEvaluation) {
  double losses[2], evaluated[2];
  for (const bool dropped : {false, true}) {
    DartsSearch search(tiny(3), {{2}, {2}, {2}}, kernels::DType::kF64, {}, {},
                       make("p-darts", {{"dropout", dropped ? "0.9,0,0" : "0,0,0"}}));
    const Images images(1);
    evaluated[dropped] = search.evaluate(images.batch()).mean_loss();
    losses[dropped] = search.weight_step(images.batch()).mean_loss();
  }
  EXPECT_EQ(evaluated[0], evaluated[1]);
  EXPECT_NE(losses[0], losses[1]);
}

TEST(DrNas, TableIsTheDrawAndItsGradientThatOfTheDraw) {
  const auto method = make("drnas", {{"keep", "8,4"}, {"partial", "2,2"}, {"kl", "0.5"}});
  SupernetOptions o = tiny(1).net;
  const auto space = method->make_space(o);
  Stores stores(kernels::DType::kF64, 9);
  Graph g(kernels::DType::kF64);
  const auto mixing = method->mix(g, stores, *space, StepKind::kAlphas);
  const Value factors = g.input("factors", {5, 8}), zero = g.input("zero", {1});
  const Value loss = method->alpha_loss(
      g, stores, *space,
      autograd::add(g, zero, autograd::reduce_sum(g, autograd::mul(g, factors, mixing[0].table))));
  const Value alphas = g.tensor(stores.alphas, "alphas_normal", {5, 8});
  const Value gradient = autograd::gradients(g, loss, {alphas})[0];
  autograd::Plan plan(g, {mixing[0].table, gradient, loss});
  for (autograd::TensorStore* store : stores.all()) store->bind();
  std::vector<double> a, c;
  for (uint64_t i = 0; i < 40; ++i) {
    a.push_back(kernels::normal(6, 0, i));
    c.push_back(kernels::normal(6, 1, i));
    stores.alphas.view(stores.alphas.find("alphas_normal")).as<double>()[i] = a[i];
    plan.input("factors").as<double>()[i] = c[i];
  }
  plan.input("zero").as<double>()[0] = 0;
  Random random(4), again(4);
  method->begin_step(StepKind::kAlphas, stores, *space, random);
  for (const auto& [name, values] : method->feeds())
    if (plan.has_input(name)) std::copy(values.begin(), values.end(), plan.input(name).as<double>());
  plan.run();
  const std::vector<double> table = numbers_of(plan.output(mixing[0].table)),
                            got = numbers_of(plan.output(gradient));
  for (size_t row = 0; row < 40; row += 8) {
    std::vector<double> concentrations;
    for (size_t k = 0; k < 8; ++k) {
      const double x = a[row + k];
      concentrations.push_back(x > 0 ? x + 1 : std::exp(x));  // elu(x) + 1
    }
    const DirichletDraw draw = draw_dirichlet(concentrations, again);
    const std::vector<double> kl = dirichlet_divergence_gradient(concentrations);
    for (size_t j = 0; j < 8; ++j) {
      EXPECT_EQ(table[row + j], draw.theta[j]);
      double by_concentration = 0.5 * kl[j];
      for (size_t i = 0; i < 8; ++i) by_concentration += c[row + i] * draw.slope[j] * ((i == j) - draw.theta[i]);
      EXPECT_NEAR(got[row + j], by_concentration * std::min(1.0, concentrations[j]), 1e-12);
    }
  }
}

TEST(DrNas, EvaluatesAndDecodesTheMean) {
  const auto method = make("drnas", {{"partial", "2,2"}});
  SupernetOptions o = tiny(1).net;
  const auto space = method->make_space(o);
  Stores stores(kernels::DType::kF64, 9);
  Graph g(kernels::DType::kF64);
  method->mix(g, stores, *space, StepKind::kEvaluation);
  stores.alphas.bind();
  Random random(4);
  method->begin_step(StepKind::kEvaluation, stores, *space, random);
  EXPECT_EQ(random.position(), 0u);
  const auto alphas = numbers_of(stores.alphas.view(0));
  const TableValues strengths = method->strengths(*space, {alphas, alphas})[0];
  EXPECT_EQ(method->feeds().at("alphas_normal.theta"), strengths);
  for (size_t row = 0; row < strengths.size(); row += 8) {
    EXPECT_EQ(strengths[row], 0);  // 7 candidates: none is out
    EXPECT_NEAR(std::accumulate(&strengths[row], &strengths[row] + 8, 0.0), 1, 1e-12);
  }
}

TEST(DrNas, StagesWidenPruneAndKeepTheAlphas) {
  DartsSearch search(tiny(1), {{2}, {2}, {2}}, kernels::DType::kF32, {}, {},
                     make("drnas", {{"warmup", "0"}, {"partial", "4,2"}}));
  const Images images(1);
  const auto step = [&](int epoch) {
    search.begin_epoch(epoch);
    search.arch_step(images.batch());
    EXPECT_TRUE(std::isfinite(search.weight_step(images.batch()).mean_loss()));
    EXPECT_TRUE(std::isfinite(search.evaluate(images.batch()).mean_loss()));
  };
  step(0);
  const auto before = search.alphas();
  search.begin_epoch(1);
  EXPECT_EQ(search.alphas(), before);
  step(1);
  EXPECT_NE(search.alphas(), before);
  int kept = 0;
  for (const TableValues& t : search.method().strengths(search.space(), search.alphas()))
    for (const double p : t) kept += p > 0;
  EXPECT_EQ(kept, 2 * 5 * 4);
}

TEST(StagedMethods, RefuseWhatDoesNotGoTogether) {
  const auto refused = [](const std::string& name, const std::map<std::string, std::string>& given,
                          const std::string& words) {
    const std::string error = error_of([&] {
      const auto method = make(name, given);
      SupernetOptions o;
      method->check(*method->make_space(o));
    });
    EXPECT_NE(error.find(words), std::string::npos) << name << ": " << error;
  };
  refused("p-darts", {{"keep", "8,5"}}, "2 stages by --keep, 3 by --dropout");
  refused("p-darts", {{"keep", "8,3,5"}}, "at most as many candidates as the one before");
  refused("p-darts", {{"keep", "8,5,1"}}, "at least 2");
  refused("p-darts", {{"keep", "7,5,3"}}, "8 candidates to start from");
  refused("p-darts", {{"dropout", "0,1,0"}}, "--dropout 1 is not");
  refused("drnas", {{"partial", "4,3"}}, "16 channels do not divide into 3 equal parts");
  refused("drnas", {{"partial", "4"}}, "2 stages by --keep, 1 by --partial");
}

/// Runs of five steps an epoch, through all stages; stopped and resumed within a stage, at its end and in the next.
void stop_and_go_on(const std::string& method, const Arguments& more, const std::vector<std::string>& stops) {
  Arguments arguments = kSearch + Arguments{"--channels", "4", "--nodes", "4"} + more;
  arguments[1] = method;
  const TemporaryDirectory dir;
  const Outcome whole = run(arguments + Arguments{"--out", dir / "whole"});
  ASSERT_EQ(whole.status, 0) << whole.err;
  for (const std::string& stop : stops)
    ASSERT_EQ(run(arguments + Arguments{"--out", dir / "parts", "--resume", "--max-steps", stop}).status, 0)
        << stop;
  ASSERT_EQ(run(arguments + Arguments{"--out", dir / "parts", "--resume", "--max-steps", "0"}).status, 0);
  expect_equal(result_of(dir / "whole"), result_of(dir / "parts"));
}

TEST(StagedMethods, PcDartsResumes) {
  stop_and_go_on("pc-darts", {"--epochs", "3", "--warmup", "1"}, {"3", "7", "10"});
}
TEST(StagedMethods, PDartsResumes) {
  stop_and_go_on("p-darts", {"--epochs", "2", "--warmup", "1", "--deepen", "1"}, {"3", "10", "13", "20", "29"});
}
TEST(StagedMethods, DrNasResumes) {
  stop_and_go_on("drnas", {"--epochs", "2", "--warmup", "1", "--partial", "4,2", "--cells", "2"},
                 {"7", "10", "16"});
}

}  // namespace
}  // namespace mixop::test
