// 1x1 convolutions as units of `separable`, and what shares a node: which nodes there are, and that values,
// gradients and running statistics are those of the composites. Graphs lowered for a device run here too: by the
// references.
#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <map>

#include "autograd/ops/batch_norm.h"
#include "autograd/ops/binary.h"
#include "autograd/ops/conv2d.h"
#include "autograd/ops/dropout.h"
#include "autograd/ops/mix.h"
#include "autograd/ops/separable.h"
#include "autograd/ops/unary.h"
#include "autograd/passes/passes.h"
#include "autograd/plan.h"
#include "kernels/core/rng.h"
#include "nas/genotypes_published.h"
#include "nas/network.h"

namespace mixop::test {
namespace {

using autograd::Graph;
using autograd::TensorStore;
using autograd::Value;
using kernels::DType;
using kernels::Shape;

enum class Form : uint8_t { kComposite, kCpu, kDevice };

/// A graph from input x to a result, with parameters in stores.
struct Problem {
  Shape x;
  std::function<Value(Graph&, nas::Stores&, Value x)> build;
  bool dx = true, dw = true, dalpha = false;
};

struct Lowered {
  nas::Stores stores;
  Graph g;
  std::vector<std::string> names;
  std::vector<Value> asked;

  Lowered(const Problem& p, DType real, Form form) : stores(real, 7), g(real) {
    const Value x = g.input("x", p.x), y = p.build(g, stores, x);
    std::vector<Value> wrt;
    if (p.dx) names.push_back("dx"), wrt.push_back(x);
    const auto want = [&](TensorStore& store) {
      for (const auto& e : store.entries())
        names.push_back(e.name), wrt.push_back(g.tensor(store, e.name, e.shape));
    };
    if (p.dw) want(stores.weights);
    if (p.dalpha) want(stores.alphas);
    asked = autograd::vector_jacobian(g, {y}, {g.input("dy", g.shape(y))}, wrt);
    names.push_back("y"), asked.push_back(y);
    g = autograd::prune(g, asked);
    if (form != Form::kComposite) autograd::lower(g, asked, form == Form::kDevice);
  }

  std::map<std::string, int> count() const {
    std::map<std::string, int> result;
    for (int i = 0; i < g.size(); ++i)
      if (g.node(i).op) ++result[g.node(i).op->name];
    return result;
  }
};

template <class T>
void fill(const kernels::View& v, uint64_t stream) {
  for (int64_t i = 0; i < v.shape.elements(); ++i) v.as<T>()[i] = static_cast<T>(kernels::normal(3, stream, i));
}

std::vector<double> values(const kernels::View& v) {
  std::vector<double> result;
  for (int64_t r = 0; r < v.rows(); ++r)
    for (int64_t c = 0; c < v.last(); ++c)
      result.push_back(v.dtype == DType::kF64 ? v.as<double>()[r * v.ld + c] : double{v.as<float>()[r * v.ld + c]});
  return result;
}

/// Everything asked for and the running statistics afterwards.
std::map<std::string, std::vector<double>> results(const Problem& p, DType real, Form form) {
  Lowered l(p, real, form);
  autograd::Plan plan(l.g, l.asked, nullptr, {.fuse = false, .poison = true});
  for (TensorStore* store : l.stores.all()) store->bind();
  if (l.stores.state.find("drop_path.keep") >= 0) l.stores.state.set("drop_path.keep", 0.6);
  for (const char* input : {"x", "dy"}) {
    const kernels::View v = plan.input(input);
    real == DType::kF64 ? fill<double>(v, *input) : fill<float>(v, *input);
  }
  plan.run();
  std::map<std::string, std::vector<double>> result;
  for (size_t i = 0; i < l.names.size(); ++i) result[l.names[i]] = values(plan.output(l.asked[i]));
  for (const auto& e : l.stores.state.entries())
    result[e.name] = values(l.stores.state.view(l.stores.state.find(e.name)));
  return result;
}

void expect_equal(const Problem& p, DType real, double tolerance, const std::string& what) {
  const auto want = results(p, DType::kF64, Form::kComposite);
  for (const Form form : {Form::kCpu, Form::kDevice}) {
    const auto got = results(p, real, form);
    ASSERT_EQ(want.size(), got.size());
    for (const auto& [name, w] : want) {
      const auto& v = got.at(name);
      ASSERT_EQ(w.size(), v.size());
      double difference = 0, magnitude = 1e-3;
      for (size_t i = 0; i < w.size(); ++i) {
        ASSERT_TRUE(std::isfinite(v[i])) << what << " " << name;
        difference = std::max(difference, std::abs(w[i] - v[i]));
        magnitude = std::max(magnitude, std::abs(w[i]));
      }
      EXPECT_LT(difference / magnitude, tolerance) << what << " " << name << ", form " << static_cast<int>(form);
    }
  }
}

/// A cell's preprocessing: relu, one or two 1x1, batch norm, maybe drop path.
Problem preprocessing(bool reduce, bool affine, bool drop) {
  return {{3, 6, 8, 5}, [=](Graph& g, nas::Stores& stores, Value x) {
            nas::Layers layers{g, stores.weights, &stores.state, true, affine};
            const Value y = reduce ? layers.factorized_reduce(x, 6) : layers.relu_conv_bn(x, 6);
            if (!drop) return y;
            const Value counter = g.tensor(stores.state, "counter", {1});
            const Value keep = g.tensor(stores.state, "drop_path.keep", {1}, autograd::Init::constant(1));
            return autograd::drop_path(g, y, keep, 11, 0, counter);
          }};
}

/// Two mixtures of all that leaves one state with stride 2.
Value reduction_edges(Graph& g, nas::Stores& stores, Value x) {
  const int64_t c = g.shape(x).last();
  const Value table = g.tensor(stores.alphas, "table", {2, 3}, autograd::Init::uniform(1));
  std::vector<Value> nodes;
  nas::Layers layers{g, stores.weights, &stores.state, true, false};
  Value rectified = autograd::relu(g, x);
  for (int n = 0; n < 2; ++n) {
    const Graph::Scope scope(g, "edge." + std::to_string(n));
    std::vector<std::pair<int64_t, Value>> terms;
    const auto term = [&](const char* name, auto&& build) {
      const Graph::Scope inner(g, name);
      terms.emplace_back(3 * n + static_cast<int>(terms.size()), build());
    };
    term("sep", [&] { return layers.separable(x, 3, 2); });
    term("dil", [&] { return layers.dilated(x, 3, 2); });
    term("skip", [&] { return layers.factorized_reduce_rectified(rectified, c); });
    nodes.push_back(autograd::mix(g, table, terms));
  }
  return autograd::sum(g, nodes);
}

const Problem kEdges{{2, 6, 8, 4}, reduction_edges, true, true, true};

TEST(FusePointwise, Preprocessing) {
  for (const bool reduce : {false, true})
    for (const bool affine : {false, true})
      for (const bool drop : {false, true})
        for (const auto& [dx, dw] : {std::pair{true, true}, {true, false}, {false, true}}) {
          Problem p = preprocessing(reduce, affine, drop);
          p.dx = dx, p.dw = dw;
          const std::string what =
              kernels::text("reduce ", reduce, " affine ", affine, " drop ", drop, " dx ", dx, " dw ", dw);
          expect_equal(p, DType::kF64, 1e-12, what);
          expect_equal(p, DType::kF32, 1e-5, what);
          auto count = Lowered(p, DType::kF32, Form::kCpu).count();
          EXPECT_EQ(count["separable"], 1) << what;
          EXPECT_EQ(count["separable_grad"], 1) << what;
          for (const char* op :
               {"conv2d", "conv2d_dgrad", "conv2d_wgrad", "bn_stats", "bn_grad", "relu", "relu_grad"})
            EXPECT_EQ(count[op], 0) << op << " " << what;
          EXPECT_EQ(count["mask_scale"], drop ? 2 : 0)
              << what;  // of the result; the factors, for all who read them
        }
}

TEST(FusePointwise, EdgesOfAReduction) {
  expect_equal(kEdges, DType::kF64, 1e-12, "edges");
  expect_equal(kEdges, DType::kF32, 1e-4, "edges");
  for (const Form form : {Form::kCpu, Form::kDevice}) {
    auto count = Lowered(kEdges, DType::kF32, form).count();
    for (const char* op : {"conv2d", "conv2d_dgrad", "conv2d_wgrad", "bn_stats", "bn_grad", "relu", "relu_grad"})
      EXPECT_EQ(count[op], 0) << op;
    // All that reads the state is one node; the second halves are one each, or one.
    EXPECT_EQ(count["separable"], form == Form::kCpu ? 1 + 2 : 1 + 1);
    EXPECT_EQ(count["separable_grad"], form == Form::kCpu ? 1 + 2 : 1 + 1 + 1);  // and one of all weights
    EXPECT_EQ(count["sum"], 2);  // of the result and of the gradients of the table; that of the state is one
  }
}

/// Somebody reads the gradient of the 1x1 itself: it must exist.
TEST(FusePointwise, AGradientThatIsAskedForStays) {
  Graph g;
  const Value x = g.input("x", {2, 4, 4, 6}), w = g.input("w", {1, 1, 6, 6});
  const Value z = autograd::conv2d(g, autograd::relu(g, x), w, {}), y = autograd::batch_norm(g, z, {});
  std::vector<Value> asked = autograd::vector_jacobian(g, {y}, {g.input("dy", g.shape(y))}, {x, w, z});
  autograd::lower(g, asked, false);
  std::map<std::string, int> count;
  for (int i = 0; i < g.size(); ++i)
    if (g.node(i).op) ++count[g.node(i).op->name];
  EXPECT_EQ(count["separable"], 1);
  EXPECT_EQ(count["separable_grad"], 0);
  EXPECT_EQ(count["bn_grad"], 1);
  EXPECT_EQ(count["conv2d_dgrad"], 1);
}

/// A normal, a reduction and a normal cell behind a reduction.
Problem supernet(bool weights) {
  nas::SupernetOptions o{.channels = 4, .cells = 3, .height = 8, .width = 8, .reduction_cells = {1}};
  return {{2, 8, 8, 3},
          [=](Graph& g, nas::Stores& stores, Value x) { return nas::build_supernet(g, x, stores, o, true).logits; },
          false,
          weights,
          !weights};
}

Problem network() {
  nas::NetworkOptions o;
  o.genotype = nas::load_genotype("DARTS_V2");
  o.channels = 4, o.cells = 3, o.height = o.width = 8, o.drop_path = true;
  return {{4, 8, 8, 3},
          [=](Graph& g, nas::Stores& stores, Value x) { return nas::build_network(g, x, stores, o, true).logits; },
          false};
}

TEST(FusePointwise, WholeNetworksInFloat64) {
  expect_equal(supernet(true), DType::kF64, 1e-9, "weight step");
  expect_equal(supernet(false), DType::kF64, 1e-9, "architecture step");
  expect_equal(network(), DType::kF64, 1e-9, "derived network");
}

TEST(FusePointwise, NothingOfTheCompositesIsLeftBesideTheStem) {
  for (const bool weights : {false, true})
    for (const Form form : {Form::kCpu, Form::kDevice}) {
      const Lowered l(supernet(weights), DType::kF32, form);
      for (int i = 0; i < l.g.size(); ++i)
        EXPECT_TRUE(l.g.node(i).op != &autograd::kSeparableGrad || l.g.node(i).backward);
      auto count = l.count();
      EXPECT_EQ(count["conv2d"], 1);
      EXPECT_EQ(count["bn_stats"], 1);
      EXPECT_EQ(count["bn_grad"], weights);
      EXPECT_EQ(count["conv2d_wgrad"], weights);
      EXPECT_EQ(count["conv2d_dgrad"] + count["relu"] + count["relu_grad"], 0);
    }
}

/// The norms of both inputs of a cell are reduced by one call on a device.
TEST(GroupReductions, InputsOfACellShareACall) {
  const auto cells = [](Form form) {
    const Lowered l(supernet(true), DType::kF32, form);
    int calls = 0, norms = 0;
    for (int i = 0; i < l.g.size(); ++i) {
      const autograd::Node& n = l.g.node(i);
      if (n.op != &autograd::kBnReduce || n.attr<kernels::BatchNormAttrs>().scaled) continue;
      const int count = n.attr<kernels::BatchNormAttrs>().count;
      ++calls, norms += count;
      EXPECT_EQ(n.inputs.size(), static_cast<size_t>(4 * count));
      EXPECT_EQ(n.outputs.size(), static_cast<size_t>(2 * count));
    }
    return std::pair{calls, norms};
  };
  const auto [each, norms] = cells(Form::kCpu);
  EXPECT_EQ(each, norms);
  const auto [calls, same] = cells(Form::kDevice);
  EXPECT_EQ(same, norms);
  EXPECT_LE(calls, each - 3);  // the inputs of three cells
}

TEST(DropPath, FactorsOfAMaskAreComputedOnce) {
  auto count = Lowered(network(), DType::kF32, Form::kCpu).count();
  EXPECT_GT(count["bernoulli"], 0);
  EXPECT_LE(count["fill"], 2);  // ones, of each pass that asks for factors
  Lowered l(network(), DType::kF32, Form::kCpu);
  std::map<Value, int> factors;
  for (int i = 0; i < l.g.size(); ++i)
    if (const autograd::Node& n = l.g.node(i); n.op == &autograd::kMaskScale && n.outputs[0].shape.rank() == 1)
      ++factors[n.inputs[1]];
  EXPECT_GT(factors.size(), 0u);
  for (const auto& [mask, times] : factors) EXPECT_EQ(times, 1);
}

}  // namespace
}  // namespace mixop::test
