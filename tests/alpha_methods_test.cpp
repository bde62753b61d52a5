// Every method that learns alphas, step by step on a tiny supernet in float64: the engine's step against a
// transcription of the method's formulas that gives the network its tables from outside.
#include "nas/search/alpha_methods.h"

#include <gtest/gtest.h>

#include <cmath>
#include <functional>

#include "autograd/ops/cross_entropy.h"
#include "kernels/core/rng.h"
#include "nas/network.h"
#include "nas/search/darts.h"
#include "nas/sharing/candidate_macs.h"
#include "nas/sharing/nb201_mixed.h"

namespace mixop::test {
namespace {

using namespace mixop::nas;

constexpr int kSize = 8, kBatch = 2, kEpochs = 5, kEpoch = 2;  // the third of five epochs

struct Images {
  std::vector<double> pixels;
  std::vector<float> rounded;
  std::vector<int32_t> labels;
  explicit Images(uint64_t seed) {
    for (uint64_t i = 0; i < kBatch * kSize * kSize * 3; ++i) pixels.push_back(kernels::normal(seed, 0, i));
    rounded.assign(pixels.begin(), pixels.end());
    for (int i = 0; i < kBatch; ++i) labels.push_back(i % 4);
  }
  Batch batch() const { return {rounded.data(), labels.data(), kBatch, pixels.data()}; }
};

/// Of whole channels: partial ones have weights of one channel, whose batch norm leaves no gradient.
const char* const kMethods[] = {"darts", "fair-darts", "darts-minus", "beta-darts", "snas", "gdas"};

/// An architecture step moves alphas by minus their gradient: Adam without momentum, whose eps drowns the rest.
DartsOptions options() {
  DartsOptions o;
  o.net = {.channels = 4, .classes = 4, .cells = 3, .nodes = 2, .multiplier = 2, .height = kSize, .width = kSize};
  o.epochs = kEpochs;
  o.arch = {.beta1 = 0, .beta2 = 0, .eps = 1e9, .weight_decay = 0};
  o.arch_lr = 1e9;
  return o;
}

std::unique_ptr<AlphaMethod> make(const std::string& name, const std::map<std::string, std::string>& given = {}) {
  const AlphaMethodInfo& info = find_alpha_method(name);
  Settings settings(info.settings);
  for (const auto& [setting, value] : given) settings.set(setting, value);
  return info.make(settings);
}

DartsSearch search_with(const std::string& name, DartsOptions o = options(),
                        const std::map<std::string, std::string>& settings = {}) {
  auto method = make(name, settings);
  const bool single = method->single_level();
  DartsSearch::BatchSizes sizes{{kBatch}, {kBatch}, {kBatch}};
  if (single) sizes.valid.clear();
  DartsSearch search(o, sizes, kernels::DType::kF64, {}, {}, std::move(method));
  search.begin_epoch(kEpoch);
  return search;
}

/// The step that moves alphas.
Score alpha_step(DartsSearch& search, const Batch& batch) {
  return search.method().single_level() ? search.begin_weight_step(batch).get() : search.arch_step(batch);
}

void set_alphas(DartsSearch& search, const std::vector<TableValues>& values) {
  const auto tensors = search.alpha_tensors();
  for (size_t t = 0; t < tensors.size(); ++t) {
    const kernels::View view = search.stores().alphas.view(search.stores().alphas.find(tensors[t].name));
    std::copy(values[t].begin(), values[t].end(), view.as<double>());
  }
}

/// Alphas large enough for their tables to be far from uniform.
std::vector<TableValues> random_alphas(const DartsSearch& search) {
  std::vector<TableValues> all;
  for (const AlphaTensor& a : search.alpha_tensors()) {
    TableValues& table = all.emplace_back();
    for (int64_t i = 0; i < a.shape.elements(); ++i)
      table.push_back(kernels::normal(11, all.size(), static_cast<uint64_t>(i)));
  }
  return all;
}

/// Cross-entropy of the supernet with tables given from outside.
class Network {
 public:
  explicit Network(DartsSearch& search) : tables_(search.space().tables()) {
    Graph g(kernels::DType::kF64);
    const Value images = g.input("images", {kBatch, kSize, kSize, 3});
    const Value labels = g.input("labels", {kBatch}, kernels::DType::kI32);
    std::vector<Mixing> mixing;
    for (const MixTable& t : tables_)
      mixing.push_back({g.input(t.name, {t.rows, static_cast<int64_t>(t.columns.size())})});
    const Value logits = search.space().build(g, images, search.stores(), mixing, true).logits;
    loss_ = autograd::cross_entropy(g, logits, labels, 0.0, kernels::Reduction::kMean);
    plan_ = std::make_unique<autograd::Plan>(g, std::vector<Value>{loss_});
  }
  double loss(const Batch& batch, const std::vector<TableValues>& tables) {
    for (size_t t = 0; t < tables_.size(); ++t)
      std::copy(tables[t].begin(), tables[t].end(), plan_->input(tables_[t].name).as<double>());
    feed(*plan_, batch);
    plan_->run();
    return plan_->scalar(loss_);
  }

 private:
  std::vector<MixTable> tables_;
  Value loss_;
  std::unique_ptr<autograd::Plan> plan_;
};

/// softmax(x / temperature) of one row.
TableValues softmax(const double* x, int n, double temperature = 1) {
  TableValues p;
  double sum = 0;
  for (int k = 0; k < n; ++k) sum += p.emplace_back(std::exp(x[k] / temperature));
  for (double& v : p) v /= sum;
  return p;
}

/// What a method makes of one tensor of alphas [rows, columns]; `noise` is what was drawn for it.
using Formula = std::function<TableValues(const TableValues& alphas, const TableValues& noise, int columns)>;
using Extra = std::function<double(const std::vector<TableValues>& alphas)>;

TableValues rows_of_softmax(const TableValues& alphas, int columns, double temperature, double auxiliary) {
  TableValues table;
  for (size_t row = 0; row < alphas.size(); row += static_cast<size_t>(columns)) {
    for (const double p : softmax(&alphas[row], columns, temperature)) table.push_back(p);
    if (auxiliary >= 0) table.push_back(auxiliary);
  }
  return table;
}

TableValues sum_of(TableValues a, const TableValues& b) {
  for (size_t i = 0; i < a.size(); ++i) a[i] += b[i];
  return a;
}

/// The engine's loss and gradient against the transcription, whose gradient is taken by central differences.
void expect_transcribed(const std::string& name, const Formula& formula, const Extra& extra,
                        const std::map<std::string, std::string>& settings = {}) {
  DartsSearch search = search_with(name, options(), settings);
  const Images images(3);
  const std::vector<TableValues> start = random_alphas(search);
  set_alphas(search, start);
  Network network(search);  // its own plans run between the search's steps
  const auto tensors = search.alpha_tensors();
  const auto tables_of = [&](const std::vector<TableValues>& alphas) {
    std::vector<TableValues> tables;
    for (size_t t = 0; t < tensors.size(); ++t) {
      const auto noise = search.method().feeds().find(tensors[t].name + ".noise");
      tables.push_back(formula(alphas[t], noise == search.method().feeds().end() ? TableValues{} : noise->second,
                               static_cast<int>(tensors[t].shape[1])));
    }
    return tables;
  };
  const std::string weights(reinterpret_cast<const char*>(search.stores().weights.data()),
                            static_cast<size_t>(search.stores().weights.elements()) * 8);
  const double loss = alpha_step(search, images.batch()).mean_loss();
  const std::vector<TableValues> moved = search.alphas();
  std::memcpy(search.stores().weights.data(), weights.data(), weights.size());  // those that the step began with
  EXPECT_NEAR(loss, network.loss(images.batch(), tables_of(start)), 1e-12);

  constexpr double kStep = 1e-5;
  double largest = 0;
  for (size_t t = 0; t < start.size(); ++t) {
    for (size_t i = 0; i < start[t].size(); i += 3) {
      const auto at = [&](double shift) {
        std::vector<TableValues> alphas = start;
        alphas[t][i] += shift;
        return network.loss(images.batch(), tables_of(alphas)) + (extra ? extra(alphas) : 0);
      };
      const double expected = (at(kStep) - at(-kStep)) / (2 * kStep), gradient = start[t][i] - moved[t][i];
      EXPECT_NEAR(gradient, expected, 1e-6) << name << ": " << tensors[t].name << " " << i;
      largest = std::max(largest, std::abs(expected));
    }
  }
  EXPECT_GT(largest, 1e-3) << name;
}

TEST(AlphaMethods, Darts) {
  expect_transcribed(
      "darts", [](const TableValues& a, const TableValues&, int n) { return rows_of_softmax(a, n, 1, -1); }, {});
}

TEST(AlphaMethods, FairDartsHasGatesAndAZeroOneLoss) {
  const auto gate = [](double a) { return 1 / (1 + std::exp(-a)); };
  expect_transcribed(
      "fair-darts",
      [&](TableValues a, const TableValues&, int n) {
        EXPECT_EQ(n, 7);
        for (double& v : a) v = gate(v);
        return a;
      },
      [&](const std::vector<TableValues>& alphas) {
        double sum = 0, count = 0;
        for (const TableValues& table : alphas)
          for (const double v : table) sum += std::pow(gate(v) - 0.5, 2), ++count;
        return -10 * sum / count;
      });
}

TEST(AlphaMethods, DartsMinusHasAnAuxiliarySkipThatFades) {
  // Half of the way in the third of five epochs.
  expect_transcribed("darts-minus",
                     [](const TableValues& a, const TableValues&, int n) { return rows_of_softmax(a, n, 1, 0.5); },
                     {});
}

TEST(AlphaMethods, BetaDartsAddsTheMeanLogSumExp) {
  expect_transcribed(
      "beta-darts", [](const TableValues& a, const TableValues&, int n) { return rows_of_softmax(a, n, 1, -1); },
      [](const std::vector<TableValues>& alphas) {
        double sum = 0, rows = 0;
        for (const TableValues& table : alphas)
          for (size_t row = 0; row < table.size(); row += 8, ++rows) {
            double z = 0;
            for (size_t k = 0; k < 8; ++k) z += std::exp(table[row + k]);
            sum += std::log(z);
          }
        return 50.0 * kEpoch / kEpochs * sum / rows;
      });
}

TEST(AlphaMethods, SnasRelaxesDrawsOfOneTemperature) {
  const double temperature = std::sqrt(0.03);  // the geometric mean of 1 and 0.03
  expect_transcribed("snas",
                     [&](const TableValues& a, const TableValues& noise, int n) {
                       return rows_of_softmax(sum_of(a, noise), n, temperature, -1);
                     },
                     {});
}

TEST(AlphaMethods, SnasCanBeChargedForExpectedCost) {
  const std::vector<TableValues> macs = candidate_macs(*darts_mixed_space(options().net));
  expect_transcribed(
      "snas",
      [](const TableValues& a, const TableValues& noise, int n) {
        return rows_of_softmax(sum_of(a, noise), n, std::sqrt(0.03), -1);
      },
      [&](const std::vector<TableValues>& alphas) {
        double expected = 0;
        for (size_t t = 0; t < alphas.size(); ++t) {
          const TableValues p = rows_of_softmax(alphas[t], 8, 1, -1);
          for (size_t i = 0; i < p.size(); ++i) expected += p[i] * std::max(1.0, macs[t][i]);
        }
        return 0.5 * std::log(expected);
      },
      {{"cost", "0.5"}});
}

TEST(AlphaMethods, CostsOfCandidatesAddUpToTheSupernet) {
  const SupernetOptions o = options().net;
  const std::vector<TableValues> macs = candidate_macs(*darts_mixed_space(o));
  double sum = 0;
  for (const TableValues& table : macs) {
    for (const double c : table) sum += c;
    for (size_t i = 0; i < table.size(); ++i)  // none and pools are free, convolutions are not
      EXPECT_EQ(table[i] == 0, i % 8 < 3 || (i % 8 == 3 && (&table == &macs[0] || i / 8 == 4))) << i;
  }
  // Beside the edges: stem, classifier and two 1x1 convolutions before each cell.
  const double stem = 64.0 * 27 * 12, classifier = 16.0 * 2 * 4;
  const double pre = 64.0 * (12 * 4 + 12 * 4) + 64.0 * (12 * 8 + 8 * 8) + (16.0 * 8 * 16 + 16.0 * 16 * 16);
  EXPECT_EQ(sum + stem + classifier + pre, measure_supernet(o).macs);
}

TEST(AlphaMethods, GdasDrawsOneCandidateStraightThrough) {
  DartsSearch search = search_with("gdas");
  const Images images(3);
  const std::vector<TableValues> start = random_alphas(search);
  set_alphas(search, start);
  Network network(search);
  const double loss = search.arch_step(images.batch()).mean_loss();
  const std::vector<TableValues> moved = search.alphas();
  const auto tensors = search.alpha_tensors();
  const double temperature = (10 + 0.1) / 2;
  std::vector<TableValues> drawn;
  for (size_t t = 0; t < start.size(); ++t) {
    TableValues& table = drawn.emplace_back(TableValues(start[t].size(), 0));
    const TableValues sums = sum_of(start[t], search.method().feeds().at(tensors[t].name + ".noise"));
    for (size_t row = 0; row < sums.size(); row += 8)
      table[static_cast<size_t>(std::max_element(&sums[row], &sums[row] + 8) - sums.data())] = 1;
  }
  EXPECT_NEAR(loss, network.loss(images.batch(), drawn), 1e-12);
  double largest = 0;
  for (size_t t = 0; t < start.size(); ++t) {
    const TableValues sums = sum_of(start[t], search.method().feeds().at(tensors[t].name + ".noise"));
    for (size_t row = 0; row < sums.size(); row += 8) {
      const size_t best = static_cast<size_t>(std::max_element(&sums[row], &sums[row] + 8) - &sums[row]);
      // d loss / d weight of the drawn candidate, and from there through its probability.
      const auto at = [&](double shift) {
        std::vector<TableValues> tables = drawn;
        tables[t][row + best] += shift;
        return network.loss(images.batch(), tables);
      };
      const double slope = best == 0 ? 0 : (at(1e-5) - at(-1e-5)) / 2e-5;  // `none` has no weight
      const TableValues p = softmax(&sums[row], 8, temperature);
      for (size_t k = 0; k < 8; ++k) {
        const double expected = slope * p[best] * ((k == best) - p[k]) / temperature;
        EXPECT_NEAR(start[t][row + k] - moved[t][row + k], expected, 1e-6) << t << " " << row << " " << k;
        largest = std::max(largest, std::abs(expected));
      }
    }
  }
  EXPECT_GT(largest, 1e-4);
}

TEST(AlphaMethods, GradientsOfASoftmaxRowSumToZero) {
  for (const char* name : {"darts", "darts-minus", "snas", "gdas", "beta-darts"}) {
    DartsSearch search = search_with(name);
    const std::vector<TableValues> start = random_alphas(search);
    set_alphas(search, start);
    alpha_step(search, Images(5).batch());
    const std::vector<TableValues> moved = search.alphas();
    const auto tensors = search.alpha_tensors();
    int64_t rows = 0;
    for (const AlphaTensor& a : tensors) rows += a.shape[0];
    // beta-DARTS: the gradient of the extra term sums to lambda / rows.
    const double expected = std::string(name) == "beta-darts" ? 50.0 * kEpoch / kEpochs / rows : 0;
    for (size_t t = 0; t < start.size(); ++t) {
      const auto columns = static_cast<size_t>(tensors[t].shape[1]);
      for (size_t row = 0; row < start[t].size(); row += columns) {
        double sum = 0;
        for (size_t k = 0; k < columns; ++k) sum += start[t][row + k] - moved[t][row + k];
        EXPECT_NEAR(sum, expected, 1e-7) << name << " row " << row / columns;
      }
    }
  }
}

TEST(AlphaMethods, StepsMoveWhatTheyShould) {
  const Images images(7);
  const auto bytes = [](autograd::TensorStore& s) {
    return std::string(reinterpret_cast<const char*>(s.data()), static_cast<size_t>(s.elements()) * 8);
  };
  for (const std::string name : kMethods) {
    DartsSearch search = search_with(name);
    Stores& s = search.stores();
    const bool both = search.method().single_level();
    const std::string w0 = bytes(s.weights), a0 = bytes(s.alphas);
    search.evaluate(images.batch());
    EXPECT_TRUE(w0 == bytes(s.weights) && a0 == bytes(s.alphas)) << name;
    if (!both) search.arch_step(images.batch());
    EXPECT_EQ(w0 == bytes(s.weights), true) << name;
    EXPECT_EQ(a0 == bytes(s.alphas), both) << name;
    const std::string a1 = bytes(s.alphas);
    search.weight_step(images.batch());
    EXPECT_NE(w0, bytes(s.weights)) << name;
    EXPECT_EQ(a1 == bytes(s.alphas), !both) << name;
  }
}

TEST(AlphaMethods, WeightGradientsAreOrthogonalToWeightsBeforeABatchNorm) {
  DartsOptions o = options();
  o.lr = o.lr_min = 1;
  o.weights = {.momentum = 0, .weight_decay = 0, .clip = 0};
  for (const std::string name : kMethods) {
    DartsSearch search = search_with(name, o);
    autograd::TensorStore& weights = search.stores().weights;
    const auto values = [&] {
      const auto* w = reinterpret_cast<const double*>(weights.data());
      return std::vector<double>(w, w + weights.elements());
    };
    const std::vector<double> before = values();
    search.weight_step(Images(9).batch());
    const std::vector<double> after = values();
    int moved = 0;
    for (const auto& entry : weights.entries()) {
      if (entry.name.starts_with("classifier") || entry.name.starts_with("stem.bn")) continue;
      double product = 0, w2 = 0, g2 = 0;
      for (int64_t i = entry.offset; i < entry.offset + entry.shape.elements(); ++i) {
        const auto j = static_cast<size_t>(i);
        const double g = before[j] - after[j];
        product += before[j] * g;
        w2 += before[j] * before[j];
        g2 += g * g;
      }
      if (g2 == 0) continue;
      ++moved;
      // Not 0: batch norm adds 1e-5 to the variance.
      EXPECT_LT(std::abs(product), 1e-2 * std::sqrt(w2 * g2)) << name << " " << entry.name;
    }
    EXPECT_GE(moved, 5) << name;  // of GDAS: the stem, preprocessing and what was drawn
  }
}

/// Alphas of two tables [5 edges, columns], all `low` but for some.
std::vector<TableValues> tables_of(int columns, double low, const std::map<std::pair<int, int>, double>& normal) {
  TableValues table(static_cast<size_t>(5 * columns), low), other = table;
  for (const auto& [at, value] : normal) table[static_cast<size_t>(at.first * columns + at.second)] = value;
  return {table, other};
}

std::string normal_of(const std::string& genotype) { return genotype.substr(0, genotype.find(", normal_concat")); }

TEST(AlphaMethods, GdasMayTakeBothOperationsOfANodeFromOneEdge) {
  const auto method = make("gdas");
  const auto space = method->make_space(options().net);
  // Edges 2, 3 and 4 enter the second node; `none` (column 0) is no choice.
  const auto alphas = tables_of(8, 0, {{{0, 4}, 5}, {{1, 3}, 6}, {{3, 5}, 7}, {{3, 1}, 6.5}, {{2, 0}, 9}});
  EXPECT_EQ(normal_of(method->decode(*space, alphas)),
            "Genotype(normal=[('skip_connect', 1), ('sep_conv_3x3', 0), ('sep_conv_5x5', 1), ('max_pool_3x3', 1)]");
}

TEST(AlphaMethods, FairDartsLeavesOutEdgesWhoseGatesAreClosed) {
  const auto method = make("fair-darts");
  const auto space = method->make_space(options().net);
  // sigmoid(2) = 0.88 and sigmoid(1) = 0.73; the columns begin with max_pool_3x3.
  const auto alphas = tables_of(7, -3, {{{0, 2}, 2}, {{1, 3}, 1}, {{2, 0}, 1}, {{4, 4}, 1.5}});
  EXPECT_EQ(normal_of(method->decode(*space, alphas)),
            "Genotype(normal=[('skip_connect', 0), ('none', 1), ('none', 2), ('none', 0)]");
  const std::string remarks = method->remarks(*space, alphas);
  EXPECT_NE(remarks.find("normal cell: 1 0\n"), std::string::npos) << remarks;
  EXPECT_NE(remarks.find("reduce cell: 0 0, so that it keeps"), std::string::npos) << remarks;
  EXPECT_EQ(method->decode(*space, alphas).find("none", method->decode(*space, alphas).find("reduce=")),
            std::string::npos);
}

TEST(AlphaMethods, ACellMayHaveANodeWithoutEdges) {
  NetworkOptions o;
  o.genotype = parse_genotype(
      "Genotype(normal=[('skip_connect', 0), ('none', 1), ('none', 2), ('none', 0)], normal_concat=[2, 3], "
      "reduce=[('sep_conv_3x3', 0), ('none', 1), ('none', 2), ('none', 0)], reduce_concat=[2, 3])");
  o.cells = 3;
  o.channels = 4;
  o.height = o.width = kSize;
  const NetworkSize size = measure_network(o);
  o.genotype.normal.edges[3].op = o.genotype.reduce.edges[3].op = CellOp::skip_connect;
  EXPECT_LT(size.parameters, measure_network(o).parameters);
}

void expect_refused(const std::function<void()>& action, const std::string& words) {
  try {
    action();
    ADD_FAILURE() << "not refused: " << words;
  } catch (const Error& e) {
    EXPECT_NE(std::string(e.what()).find(words), std::string::npos) << e.what();
    EXPECT_EQ(std::string(e.what()).find('\n'), std::string::npos) << e.what();
  }
}

TEST(AlphaMethods, BadSettingsAndSpacesAreRefused) {
  for (const char* name : {"snas", "gdas"})
    for (const char* setting : {"temperature", "temperature_last"})
      expect_refused([&] { make(name, {{setting, "0"}}); }, "must be above 0");
  for (const char* value : {"0", "1"})
    expect_refused([&] { make("fair-darts", {{"threshold", value}}); }, "not between 0 and 1");
  expect_refused([&] { make("fair-darts", {{"threshold", "1.5"}}); }, "threshold");
  expect_refused([&] { make("beta-darts", {{"lambda", "-1"}}); }, "lambda");
  expect_refused([&] { find_alpha_method("dart"); }, "there are: darts");
  for (const char* name : {"fair-darts", "darts-minus"})
    expect_refused(
        [&] {
          const DartsSearch search(options(), {{kBatch}, {kBatch}, {}}, kernels::DType::kF32, {}, {}, make(name),
                                   nb201_mixed_space({.scale = {.channels = 4, .cells = 1}}));
        },
        "search darts");
}

}  // namespace
}  // namespace mixop::test
