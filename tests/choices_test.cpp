// Plans of graphs with choices: a sampled sub-network is what it would be alone, whatever ran before it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/global_pool.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/softmax.h"
#include "autograd/ops/unary.h"
#include "autograd/optimizer.h"
#include "autograd/plan.h"
#include "kernels/core/device.h"
#include "kernels/core/rng.h"
#include "nas/supernet.h"
#include "tests/support/numbers.h"

namespace mixop::test {
namespace {

using autograd::Condition;
using autograd::exclusive;
using autograd::Graph;
using autograd::Plan;
using autograd::Value;
using kernels::DType;
using nas::CellOp;
using nas::Layers;
using nas::Stores;
using Mode = autograd::CompileOptions::Mode;
using Numbers = std::map<std::string, std::vector<double>>;

constexpr CellOp kCandidates[] = {CellOp::max_pool_3x3, CellOp::avg_pool_3x3, CellOp::skip_connect,
                                  CellOp::sep_conv_3x3, CellOp::dil_conv_5x5};
constexpr int kEdges = 4, kColumns = 6, kChoices = kEdges + 2;
/// Values of each choice, from -1 on: a candidate of each edge or none of them, what else a sum has, what else a
/// concatenation.
constexpr int kValues[kChoices] = {8, 8, 8, 8, 6, 5};
using Choice = std::vector<int32_t>;

/// A small network with a choice on each edge; or, with `fixed`, what is left of it after these choices, and only
/// that.
class Net {
 public:
  Net(Graph& g, Stores& stores, const Choice* fixed)
      : g_(g), layers_{g, stores.weights, &stores.state, true, false}, stores_(stores), fixed_(fixed) {
    for (int i = 0; !fixed && i < kChoices; ++i) g.add_choice();
  }

  Value build(Value images) {
    const Value table =
        autograd::softmax(g_, g_.tensor(stores_.alphas, "alphas", {kEdges, kColumns}, autograd::Init::normal(0.5)));
    const Value s = nas::cifar_stem(layers_, images, 4);
    const Value a = first_ = node(table, s, {0, 1}, {s, s});
    const Value b = node(table, s, {2, 3}, {a, s});
    std::vector<Value> sum = {b};
    add(sum, {4, 0}, "dilated", [&] { return layers_.dilated(a, 3, 1); });
    add(sum, {4, 1}, "gate", [&] { return gate(a); });
    add(sum, {4, 2}, "product", [&] { return autograd::mul(g_, a, autograd::relu(g_, s)); });
    std::vector<Value> gated;  // read by what is always carried out
    add(gated, {4, 3}, "gated", [&] { return gate(a); });
    for (const Value v : gated) sum.push_back(autograd::mul(g_, v, s));
    std::vector<Value> parts = {s, b, g_.add(autograd::kSum, sum)[0]};
    const Value zeros = autograd::zeros(g_, g_.shape(s));
    add(
        parts, {5, 0}, "separable", [&] { return layers_.separable(s, 3, 1); }, zeros);
    add(
        parts, {5, 1}, "state", [&] { return gate(b); }, zeros);
    std::vector<Value> joined;
    add(joined, {5, 2}, "joined", [&, rectified = autograd::relu(g_, s)] {
      return autograd::concat(g_, {rectified, layers_.dilated(b, 3, 1)});
    });
    for (const Value v : joined) parts.push_back(autograd::mul(g_, v, v));
    if (joined.empty()) parts.insert(parts.end(), 2, zeros);
    const Value pooled = autograd::global_avg_pool(g_, autograd::relu(g_, autograd::concat(g_, parts)));
    return layers_.linear(pooled, "classifier", 10);
  }

  /// A node whose readers are all conditional.
  Value first() const { return first_; }

 private:
  Value gate(Value x) { return fixed_ ? x : autograd::gate(g_, x); }

  template <class Make>
  void add(std::vector<Value>& to, const Condition& when, const char* name, Make&& make, Value otherwise = {}) {
    const Graph::Scope scope(g_, name);
    if (!fixed_) {
      const Graph::When scope_of(g_, when);
      to.push_back(make());
    } else if ((*fixed_)[static_cast<size_t>(when.choice)] == when.value) {
      to.push_back(make());
    } else if (otherwise) {
      to.push_back(otherwise);
    }
  }

  Value node(Value table, Value like, const std::vector<int>& edges, const std::vector<Value>& from) {
    std::vector<std::pair<int64_t, Value>> terms;
    for (size_t e = 0; e < edges.size(); ++e) {
      const Graph::Scope scope(g_, "edge" + std::to_string(edges[e]));
      std::vector<Value> normed;  // of a pooling that is always carried out
      const Value pooled = layers_.pool(CellOp::max_pool_3x3, like, 1);
      add(normed, {edges[e], kColumns - 1}, "normed", [&] { return layers_.batch_norm(pooled); });
      for (const Value z : normed) terms.emplace_back(edges[e] * kColumns + kColumns - 1, z);
      for (int k = 0; k + 1 < kColumns; ++k) {
        std::vector<Value> term;
        add(term, {edges[e], k}, "op", [&] {
          const Value y = layers_.operation(kCandidates[k], from[e], 1, true);
          return y == from[e] ? gate(y) : y;
        });
        for (const Value z : term) terms.emplace_back(edges[e] * kColumns + k, z);
      }
    }
    return terms.empty() ? autograd::zeros(g_, g_.shape(like)) : autograd::mix(g_, table, terms);
  }

  Graph& g_;
  Layers layers_;
  Stores& stores_;
  const Choice* fixed_;
  Value first_;
};

/// A training step of a network, compiled: all choices, or fixed ones.
class Program {
 public:
  Program(DType real, autograd::CompileOptions options, const Choice* fixed = nullptr)
      : stores_(real, 3), graph_(real), plan_(compile(fixed, std::move(options))) {
    for (autograd::TensorStore* store : stores_.all()) store->bind();
    set("weights.lr", 0.1);
  }

  Plan& plan() { return plan_; }

  /// Logits, loss, gradients and what is in the stores afterwards.
  Numbers run(uint64_t seed) {
    set_numbers(plan_.input("images"),
                [&](int64_t i) { return kernels::normal(seed, 0, static_cast<uint64_t>(i)); });
    for (int i = 0; i < 2; ++i)
      plan_.input("labels").as<int32_t>()[i] = static_cast<int32_t>(3 * seed + 5 * static_cast<uint64_t>(i)) % 10;
    plan_.run();
    Numbers result;
    for (const auto& [name, v] : asked_) result[name] = v ? numbers_of(plan_.output(v)) : std::vector<double>();
    for (autograd::TensorStore* store : stores_.all())
      for (size_t i = 0; i < store->entries().size(); ++i)
        result["after " + store->name() + " " + store->entries()[i].name] =
            numbers_of(store->view(static_cast<int>(i)));
    return result;
  }

  /// Forgets what steps have done.
  void restart() {
    for (autograd::TensorStore* store : stores_.all()) {
      if (before_.contains(store)) std::memcpy(store->data(), before_[store].data(), before_[store].size());
      const size_t bytes = static_cast<size_t>(store->elements()) * size_of(store->dtype());
      before_[store].assign(store->data(), store->data() + bytes);
    }
  }

 private:
  void set(const std::string& name, double value) { stores_.optimizer.set(name, value); }

  Plan compile(const Choice* fixed, autograd::CompileOptions options) {
    if (fixed) {  // the tensors lie where those of the whole network do
      Graph scratch(graph_.real());
      Net(scratch, stores_, nullptr).build(scratch.input("images", {2, 8, 8, 3}));
    }
    const Value images = graph_.input("images", {2, 8, 8, 3}), labels = graph_.input("labels", {2}, DType::kI32);
    Net net(graph_, stores_, fixed);
    const Value logits = net.build(images);
    const Value loss = autograd::cross_entropy(graph_, logits, labels);
    asked_ = {{"logits", logits}, {"loss", loss}, {"first node", net.first()}};
    std::vector<Value> wrt;
    std::vector<std::string> names;
    for (autograd::TensorStore* store : {&stores_.weights, &stores_.alphas})
      for (const auto& e : store->entries()) {
        wrt.push_back(graph_.tensor(*store, e.name, e.shape));
        names.push_back("gradient of " + e.name);
      }
    const std::vector<Value> gradients = autograd::gradients(graph_, loss, wrt);
    for (size_t i = 0; i < names.size(); ++i) asked_.emplace_back(names[i], gradients[i]);
    const auto sgd = autograd::sgd(graph_, loss, stores_.weights, stores_.optimizer,
                                   {.momentum = 0.9, .weight_decay = 3e-4, .clip = 5});
    std::vector<Value> outputs = {sgd.step};
    for (const auto& [name, v] : asked_)
      if (v) outputs.push_back(v);
    return Plan(graph_, outputs, nullptr, std::move(options));
  }

  Stores stores_;
  Graph graph_;
  std::vector<std::pair<std::string, Value>> asked_;
  std::map<autograd::TensorStore*, std::vector<std::byte>> before_;
  Plan plan_;
};

/// Equal up to `tolerance` times the largest of a tensor, 0: the same bits; what a fixed network has no gradient
/// for is zero.
void expect_same(const Numbers& want, const Numbers& got, double tolerance, const std::string& where) {
  ASSERT_EQ(want.size(), got.size()) << where;
  for (const auto& [name, numbers] : want) {
    const std::vector<double>& other = got.at(name);
    const std::vector<double> zeros(other.size());
    const std::vector<double>& expected = numbers.empty() ? zeros : numbers;
    ASSERT_EQ(expected.size(), other.size()) << name;
    double largest = 0.1;
    for (const double v : expected) largest = std::max(largest, std::abs(v));
    for (size_t i = 0; i < expected.size(); ++i)
      ASSERT_NEAR(expected[i], other[i], tolerance * largest) << where << ": element " << i << " of " << name;
  }
}

std::string text_of(const Choice& c) {
  std::string s = "choices";
  for (const int32_t v : c) s += " " + std::to_string(v);
  return s;
}

/// Every value of each choice beside others that differ from one to the next; -1: none of the candidates.
std::vector<Choice> every_value() {
  std::vector<Choice> all;
  for (int i = 0; i < kChoices; ++i)
    for (int v = -1; v + 1 < kValues[i]; ++v) {
      Choice c;
      for (int j = 0; j < kChoices; ++j) c.push_back(static_cast<int32_t>((v + 1 + 2 * j + i) % kValues[j]) - 1);
      c[static_cast<size_t>(i)] = v;
      all.push_back(c);
    }
  all.push_back(Choice(kChoices, -1));
  return all;
}

void expect_alone(DType real, const autograd::CompileOptions& options, double tolerance) {
  Program whole(real, options);
  for (const Choice& c : every_value()) {
    Program alone(real, options, &c);
    whole.restart();
    whole.plan().choose(c);
    for (uint64_t step = 0; step < 2; ++step) {
      const Numbers got = whole.run(step);
      ASSERT_NO_FATAL_FAILURE(expect_same(alone.run(step), got, tolerance, text_of(c)));
    }
  }
}

/// The same bits in float64; float32 kernels add in an order that depends on how a tensor lies in memory.
TEST(Choices, SubNetworksAreWhatTheyAreAlone) {
  for (const Mode mode : {Mode::kPlanned, Mode::kPinned}) {
    expect_alone(DType::kF64, {.mode = mode, .fuse = false, .poison = true}, 0);
    expect_alone(DType::kF32, {.mode = mode, .fuse = false, .poison = true}, 1e-5);
  }
}

/// Fused nodes differ: alone more can be joined.
TEST(Choices, FusedSubNetworksAreWhatTheyAreAlone) {
  for (const Mode mode : {Mode::kPlanned, Mode::kPinned}) {
    expect_alone(DType::kF64, {.mode = mode, .poison = true}, 1e-12);
    expect_alone(DType::kF32, {.mode = mode, .poison = true}, 1e-4);
  }
}

Choice drawn(uint64_t seed) {
  Choice c;
  for (int i = 0; i < kChoices; ++i)
    c.push_back(static_cast<int32_t>(kernels::philox(seed, 0, static_cast<uint64_t>(i))[0] % kValues[i]) - 1);
  return c;
}

TEST(Choices, NothingIsLeftOfEarlierOnes) {
  for (const DType real : {DType::kF64, DType::kF32}) {
    Program one(real, {.poison = real == DType::kF32});
    for (uint64_t seed = 0; seed < 20; ++seed) {
      Program fresh(real, {});
      one.restart();
      for (Program* p : {&one, &fresh}) p->plan().choose(drawn(seed));
      ASSERT_NO_FATAL_FAILURE(expect_same(fresh.run(seed), one.run(seed), 0, text_of(drawn(seed))));
    }
  }
}

TEST(Choices, DeviceComputesTheSame) {
  if (kernels::cuda::devices().empty()) GTEST_SKIP() << "no CUDA device here: " << kernels::cuda::versions();
  for (const Mode mode : {Mode::kPlanned, Mode::kPinned}) {
    Program host(DType::kF32, {}),
        device(DType::kF32, {.mode = mode, .poison = true, .device = kernels::Device::kCuda});
    for (uint64_t seed = 0; seed < 3; ++seed) {
      const Choice c = seed == 0 ? Choice(kChoices, -1) : drawn(seed);
      for (Program* p : {&host, &device}) p->restart(), p->plan().choose(c);
      ASSERT_NO_FATAL_FAILURE(expect_same(host.run(seed), device.run(seed), 1e-3, text_of(c)));
    }
  }
}

TEST(Choices, TheirNumberMustBeRight) {
  Program p(DType::kF32, {});
  try {
    p.plan().choose(Choice(2, 0));
    FAIL() << "two values for " << kChoices << " choices";
  } catch (const Error& e) {
    EXPECT_STREQ(e.what(), "plan: values for 2 choices, its graph has 6");
  }
}

/// A DARTS supernet whose tables are inputs; with `choices` one on each edge, of normal and then of reduction
/// cells.
struct Supernet {
  nas::SupernetOptions options;
  int64_t batch;
  Stores stores{DType::kF64, 3};
  Graph g{DType::kF64};
  std::vector<Value> asked;
  Plan plan;

  Supernet(int64_t channels, int64_t size, int64_t batch_, bool choices)
      : options{.channels = channels,
                .cells = 3,
                .height = size,
                .width = size,
                .lowering = nas::Lowering::kReference},
        batch(batch_),
        plan(compile(choices)) {
    for (autograd::TensorStore* store : stores.all()) store->bind();
  }
  Plan compile(bool choices) {
    nas::Mixing normal, reduce;
    for (const auto& [mixing, name] : {std::pair(&normal, "normal"), std::pair(&reduce, "reduce")}) {
      mixing->table = g.input(name, {options.edges(), static_cast<int64_t>(options.operations.size())});
      for (int e = 0; choices && e < options.edges(); ++e) mixing->choices.push_back(g.add_choice());
    }
    const Value images = g.input("images", {batch, options.height, options.width, 3});
    const Value labels = g.input("labels", {batch}, DType::kI32);
    const auto net = nas::build_supernet(g, images, stores, options, normal, reduce, true);
    const Value loss = autograd::cross_entropy(g, net.logits, labels);
    std::vector<Value> wrt;
    for (const auto& e : stores.weights.entries()) wrt.push_back(g.tensor(stores.weights, e.name, e.shape));
    asked = autograd::gradients(g, loss, wrt);
    asked.insert(asked.end(), {net.logits, loss});
    return Plan(g, asked);
  }
  std::vector<std::vector<double>> run(const std::vector<int32_t>& choices) {
    const auto columns = static_cast<int64_t>(options.operations.size());
    for (const bool reduction : {false, true})
      set_numbers(plan.input(reduction ? "reduce" : "normal"), [&](int64_t i) {
        return choices[static_cast<size_t>(i / columns + (reduction ? options.edges() : 0))] == i % columns ? 1 : 0;
      });
    set_numbers(plan.input("images"), [&](int64_t i) { return kernels::normal(1, 0, static_cast<uint64_t>(i)); });
    plan.run();
    std::vector<std::vector<double>> result;
    for (const Value v : asked) result.push_back(numbers_of(plan.output(v)));
    return result;
  }
};

TEST(Choices, SupernetEqualsOneWithoutTheOthersWeights) {
  Supernet sampled(4, 8, 2, true), weighted(4, 8, 2, false);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    std::vector<int32_t> choices;
    for (uint64_t e = 0; e < 2 * static_cast<uint64_t>(sampled.options.edges()); ++e)
      choices.push_back(static_cast<int32_t>(kernels::philox(seed, 1, e)[0] % 9) - 1);
    sampled.plan.choose(choices);
    const auto got = sampled.run(choices), want = weighted.run(choices);
    for (size_t i = 0; i < want.size(); ++i)
      for (size_t k = 0; k < want[i].size(); ++k) ASSERT_NEAR(want[i][k], got[i][k], 1e-11) << "value " << i;
  }
}

TEST(Choices, WhatExcludesEachOtherSharesMemory) {
  const Supernet sampled(8, 32, 16, true), weighted(8, 32, 16, false);
  EXPECT_LT(2 * sampled.plan.memory().arena, weighted.plan.memory().arena);
  const auto& slots = sampled.plan.slots();
  for (size_t i = 0; i < slots.size(); ++i)
    for (size_t j = 0; j < i; ++j) {
      const autograd::Slot &a = slots[i], &b = slots[j];
      if (a.first > b.last || b.first > a.last || exclusive(a.when, b.when)) continue;
      ASSERT_TRUE(a.begin + a.bytes <= b.begin || b.begin + b.bytes <= a.begin) << a.name << " and " << b.name;
    }
}

}  // namespace
}  // namespace mixop::test
