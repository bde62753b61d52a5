// A supernet of 2 cells on 8x8 images in float64, as the searches with second derivatives see it, and gradients of
// its loss.
#pragma once

#include <algorithm>
#include <vector>

#include "autograd/ops/concat.h"
#include "autograd/ops/cross_entropy.h"
#include "autograd/ops/softmax.h"
#include "kernels/core/rng.h"
#include "nas/search/second_order.h"

namespace mixop::test {

inline std::vector<double> values_of(autograd::TensorStore& store) {
  const double* p = store.flat().as<double>();
  return {p, p + store.elements()};
}
inline void fill(autograd::TensorStore& store, const std::vector<double>& values) {
  store.bind();
  std::copy(values.begin(), values.end(), store.flat().as<double>());
}

inline nas::SupernetOptions tiny_supernet(int nodes) {
  nas::SupernetOptions o{
      .channels = 4, .classes = 3, .cells = 2, .nodes = nodes, .multiplier = nodes, .height = 8, .width = 8};
  o.reduction_cells = {1};
  return o;
}

struct TinyImages {
  std::vector<double> pixels;
  std::vector<int32_t> labels;
  TinyImages(int n, uint64_t seed) : pixels(static_cast<size_t>(n) * 8 * 8 * 3), labels(static_cast<size_t>(n)) {
    for (size_t i = 0; i < pixels.size(); ++i) pixels[i] = kernels::normal(seed, 0, i);
    for (int i = 0; i < n; ++i) labels[static_cast<size_t>(i)] = static_cast<int32_t>((i + seed) % 3);
  }
  nas::Batch batch() const { return {nullptr, labels.data(), static_cast<int64_t>(labels.size()), pixels.data()}; }
};

/// The alphas are always those of `stores`.
inline nas::BilevelNetwork tiny_network(nas::Stores& stores, int nodes = 2) {
  return [&stores, nodes](autograd::Graph& g, nas::Stores& net, bool, int64_t batch) {
    const nas::SupernetOptions o = tiny_supernet(nodes);
    const autograd::Value images = g.input("images", {batch, 8, 8, 3}),
                          labels = g.input("labels", {batch}, kernels::DType::kI32);
    std::vector<nas::Mixing> mixing;
    for (const char* name : {"alphas_normal", "alphas_reduce"})
      mixing.push_back(
          {autograd::softmax(g, g.tensor(stores.alphas, name, {o.edges(), 8}, autograd::Init::normal(0.3)))});
    const autograd::Value logits = nas::build_supernet(g, images, net, o, mixing[0], mixing[1], true).logits;
    const autograd::Value loss = autograd::cross_entropy(g, logits, labels);
    return nas::BilevelLoss{loss, autograd::top1(g, logits, labels), loss};
  };
}

/// One gradient of the supernet's loss where the stores are.
struct TinyGradient {
  autograd::Value value;
  autograd::Plan plan;
  TinyGradient(nas::Stores& stores, bool by_alphas, int64_t batch, int nodes = 2)
      : plan(make(stores, by_alphas, batch, nodes)) {}
  autograd::Plan make(nas::Stores& stores, bool by_alphas, int64_t batch, int nodes) {
    autograd::Graph g(kernels::DType::kF64);
    const autograd::Value loss = tiny_network(stores, nodes)(g, stores, false, batch).loss;
    autograd::TensorStore& store = by_alphas ? stores.alphas : stores.weights;
    std::vector<autograd::Value> wrt;
    for (const auto& e : store.entries()) wrt.push_back(g.tensor(store, e.name, e.shape));
    value = autograd::pack(g, autograd::gradients(g, loss, wrt));
    return autograd::Plan(g, {value});
  }
  std::vector<double> operator()(const nas::Batch& batch) {
    nas::feed(plan, batch);
    plan.run();
    const double* p = plan.output(value).as<double>();
    return {p, p + plan.output(value).last()};
  }
};

}  // namespace mixop::test
