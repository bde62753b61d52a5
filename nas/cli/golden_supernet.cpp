// The golden case of a whole DARTS supernet: forward pass, first-order gradients, search steps.
#include <algorithm>
#include <cmath>
#include <regex>

#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "nas/cli/golden_ops.h"
#include "nas/cli/perturbed_search.h"
#include "nas/cli/tolerance.h"
#include "nas/search/darts.h"

namespace mixop::cli {
namespace {

using autograd::Graph;
using autograd::Plan;
using autograd::TensorStore;
using autograd::Value;
using nlohmann::json;

constexpr const char* kTables[] = {"alphas_normal", "alphas_reduce"};

nas::SupernetOptions options_of(const json& p) {
  nas::SupernetOptions o;
  o.channels = p.at("C");
  o.cells = p.at("layers");
  o.nodes = p.value("steps", o.nodes);
  o.multiplier = p.value("multiplier", o.nodes);
  o.stem_multiplier = p.value("stem_multiplier", o.stem_multiplier);
  o.classes = p.at("classes");
  const auto image = p.at("image").get<std::vector<int64_t>>();
  MIXOP_CHECK(image.size() == 3, "parameter 'image' must be [channels, height, width]");
  o.image_channels = image[0];
  o.height = image[1];
  o.width = image[2];
  o.lowering = nas::parse_lowering(p.value("lowering", std::string(nas::lowering_name(o.lowering))));
  if (p.contains("primitives")) {
    o.operations.clear();
    for (const std::string name : p.at("primitives")) o.operations.push_back(nas::parse_op(name));
  }
  if (p.contains("reduction_cells")) {
    o.reduction_cells = p.at("reduction_cells").get<std::vector<int>>();
    if (o.reduction_cells.empty()) o.reduction_cells = {-1};  // none at all; an empty list asks for the default
  }
  return o;
}

nas::DartsOptions search_options(const json& p, double clip) {
  nas::DartsOptions o;
  o.net = options_of(p);
  const json sgd = p.value("sgd", json::object()), adam = p.value("adam", json::object());
  o.lr = sgd.value("lr", o.lr);
  o.weights = {
      .momentum = sgd.value("momentum", 0.9), .weight_decay = sgd.value("weight_decay", 3e-4), .clip = clip};
  o.arch_lr = adam.value("lr", o.arch_lr);
  const auto betas = adam.value("betas", std::vector<double>{0.5, 0.999});
  MIXOP_CHECK(betas.size() == 2, "parameter 'betas' must have two numbers");
  o.arch = {.beta1 = betas[0],
            .beta2 = betas[1],
            .eps = adam.value("eps", 1e-8),
            .weight_decay = adam.value("weight_decay", 1e-3)};
  return o;
}

/// The case's tensors in the graph's terms.
class Case {
 public:
  Case(const GoldenCase& golden, bool rounded) : golden_(golden), rounded_(rounded) {}

  Values values(const std::string& name) const {
    Values v = golden_.at(name).values;
    if (rounded_)
      for (double& x : v) x = static_cast<float>(x);
    return v;
  }

  /// Puts the initial weights and alphas into the stores; both sides must have the same names and shapes.
  void load(nas::Stores& stores) const {
    const Values all = values("weights");
    size_t listed = 0;
    for_each_weight([&](const std::string& name, const Extents& file, size_t offset, size_t size) {
      const int i = stores.weights.find(name);
      MIXOP_CHECK(i >= 0, "weight_layout names '", name, "', which the supernet does not have");
      const auto layout = file.size() == 4 ? Layout::kKernel : Layout::kPlain;
      MIXOP_CHECK(graph_shape(file, layout) == stores.weights.entry(i).shape && offset + size <= all.size(),
                  "weight_layout: '", name, "' has shape ", json(file).dump(), ", the supernet ",
                  stores.weights.entry(i).shape, " (channels last)");
      const Values part(all.begin() + static_cast<std::ptrdiff_t>(offset),
                        all.begin() + static_cast<std::ptrdiff_t>(offset + size));
      to_view(to_graph(part, file, layout), stores.weights.view(i));
      ++listed;
    });
    MIXOP_CHECK(listed == stores.weights.entries().size(), "weight_layout lists ", listed,
                " weights, the supernet has ", stores.weights.entries().size());
    for (const char* table : kTables) to_view(values(table), stores.alphas.view(stores.alphas.find(table)));
  }

  /// All weights (or gradients: `view_of` gives the one of a store's entry) flattened as the file has them.
  template <class F>
  Values flatten(const TensorStore& weights, const F& view_of) const {
    Values all(golden_.at("weights").values.size());
    for_each_weight([&](const std::string& name, const Extents& file, size_t offset, size_t) {
      const auto layout = file.size() == 4 ? Layout::kKernel : Layout::kPlain;
      const Values part = to_file(from_view(view_of(weights.find(name))), file, layout);
      std::copy(part.begin(), part.end(), all.begin() + static_cast<std::ptrdiff_t>(offset));
    });
    return all;
  }

  Values weight_norms(const Values& flat) const {
    Values norms;
    for_each_weight([&](const std::string&, const Extents&, size_t offset, size_t size) {
      double sum = 0;
      for (size_t i = offset; i < offset + size; ++i) sum += flat[i] * flat[i];
      norms.push_back(std::sqrt(sum));
    });
    return norms;
  }

  /// Batch `step` of "train" or "val".
  struct Data {
    Values images;  // [N, H, W, C]
    std::vector<int32_t> labels;
    nas::Batch batch() const {
      return {.labels = labels.data(), .size = static_cast<int64_t>(labels.size()), .exact = images.data()};
    }
  };
  size_t steps() const { return static_cast<size_t>(golden_.at("x_train").shape.at(0)); }
  Data data(const std::string& part, size_t step) const {
    const GoldenTensor &x = golden_.at("x_" + part), &y = golden_.at("y_" + part);
    MIXOP_CHECK(x.shape.size() == 5 && y.shape.size() == 2 && y.integers && x.shape[0] == y.shape[0] &&
                    x.shape[1] == y.shape[1] && step < static_cast<size_t>(x.shape[0]),
                "'x_", part, "' and 'y_", part, "' must hold one batch a step");
    const Extents file(x.shape.begin() + 1, x.shape.end());
    const size_t images = x.values.size() / static_cast<size_t>(x.shape[0]), n = static_cast<size_t>(x.shape[1]);
    const Values all = values("x_" + part);
    const auto begin = all.begin() + static_cast<std::ptrdiff_t>(step * images);
    Data d;
    d.images = to_graph({begin, begin + static_cast<std::ptrdiff_t>(images)}, file, Layout::kImage);
    for (size_t i = step * n; i < (step + 1) * n; ++i) d.labels.push_back(static_cast<int32_t>(y.values[i]));
    return d;
  }

 private:
  template <class F>
  void for_each_weight(F&& f) const {
    for (const json& w : golden_.manifest.at("weight_layout"))
      f(w.at("name").get<std::string>(), w.at("shape").get<Extents>(), w.at("offset").get<size_t>(),
        w.at("size").get<size_t>());
  }

  const GoldenCase& golden_;
  bool rounded_;
};

/// loss, logits, act_* and grad_* of the first training batch.
void evaluate_gradients(const GoldenCase& golden, const Case& c, const Arithmetic& arithmetic, Evaluation& e) {
  const nas::SupernetOptions o = options_of(golden.params);
  const Case::Data data = c.data("train", 0);
  const auto n = static_cast<int64_t>(data.labels.size());
  nas::Stores stores(arithmetic.real, 0);
  Graph g(arithmetic.real);
  const Value images = g.input("images", {n, o.height, o.width, o.image_channels});
  const Value labels = g.input("labels", {n}, kernels::DType::kI32);
  const nas::NetworkOutputs net = nas::build_supernet(g, images, stores, o, true);
  const Value loss = autograd::cross_entropy(g, net.logits, labels);

  std::vector<Value> wrt;
  for (const TensorStore* store : {&stores.weights, &stores.alphas})
    for (const auto& entry : store->entries())
      wrt.push_back(g.tensor(const_cast<TensorStore&>(*store), entry.name, entry.shape));
  std::vector<Value> asked = autograd::gradients(g, loss, wrt);
  for (size_t i = 0; i < wrt.size(); ++i)
    if (!asked[i]) asked[i] = autograd::zeros(g, g.shape(wrt[i]));
  const size_t grads = asked.size();
  std::vector<std::string> names = {"loss", "logits", "act_stem", "act_pooled"};
  asked.insert(asked.end(), {loss, net.logits, net.stem, net.pooled});
  for (size_t i = 0; i < net.cells.size(); ++i) {
    names.push_back("act_cell" + std::to_string(i));
    asked.push_back(net.cells[i]);
  }

  e.factor = tolerance_factor(g);
  if (arithmetic.perturbed()) g = perturbable(g, asked);
  Plan plan(g, asked, nullptr, {.fuse = !arithmetic.perturbed(), .poison = true, .device = arithmetic.device});
  for (TensorStore* store : stores.all()) store->bind();
  c.load(stores);
  nas::feed(plan, data.batch());
  fill_perturbation(plan, g, arithmetic.perturbation);
  plan.run();

  e.values["grad_weights"] = c.flatten(stores.weights, [&](int entry) { return plan.output(asked[entry]); });
  for (const char* table : kTables)
    e.values[std::string("grad_") + table] =
        from_view(plan.output(asked[stores.weights.entries().size() + stores.alphas.find(table)]));
  for (size_t i = 0; i < names.size(); ++i)
    if (golden.has(names[i]))
      e.values[names[i]] =
          to_file(from_view(plan.output(asked[grads + i])), golden.at(names[i]).shape, Layout::kImage);
}

void append(Values& to, const Values& from) { to.insert(to.end(), from.begin(), from.end()); }

/// The search steps; names of tensors begin with `prefix`.
template <class Search>
void record_steps(const GoldenCase& golden, const Case& c, Search& search, const std::string& prefix,
                  Evaluation& e) {
  c.load(search.stores());
  search.begin_epoch(0);
  std::map<std::string, Values> got;
  for (size_t step = 0; step < c.steps(); ++step) {
    const Case::Data valid = c.data("val", step), train = c.data("train", step);
    got["steps_val_loss"].push_back(search.arch_step(valid.batch()).mean_loss());
    got["steps_train_loss"].push_back(search.weight_step(train.batch()).mean_loss());
    got["steps_grad_norm"].push_back(search.gradient_norm());
    for (const std::string table : kTables) {
      TensorStore& alphas = search.stores().alphas;
      got[table] = from_view(alphas.view(alphas.find(table)));
      append(got["steps_" + table], got[table]);
    }
  }
  TensorStore& weights = search.stores().weights;
  const Values flat = c.flatten(weights, [&](int entry) { return weights.view(entry); });
  got["weights_after_" + std::to_string(c.steps())] = flat;
  got["weight_norms"] = c.weight_norms(flat);
  // The loss of the first batch afterwards; a weight step reports it before it moves the weights.
  got["final_train_loss"] = {search.weight_step(c.data("train", 0).batch()).mean_loss()};
  for (auto& [name, values] : got)
    if (golden.has(prefix + name) && (!prefix.empty() || name.rfind("alphas", 0) != 0))
      e.values[prefix + name] = std::move(values);
}

void evaluate_search(const GoldenCase& golden, const Case& c, const Arithmetic& arithmetic, double clip,
                     const std::string& prefix, Evaluation& e) {
  const int64_t train = golden.at("x_train").shape.at(1), valid = golden.at("x_val").shape.at(1);
  const nas::DartsOptions options = search_options(golden.params, clip);
  if (arithmetic.perturbed()) {
    PerturbedSearch search(options, train, valid, arithmetic.perturbation);
    record_steps(golden, c, search, prefix, e);
  } else {
    nas::DartsSearch search(options, {.train = {train}, .valid = {valid}, .eval = {}}, arithmetic.real,
                            {.poison = true, .device = arithmetic.device});
    record_steps(golden, c, search, prefix, e);
  }
}

}  // namespace

Evaluation evaluate_supernet(const GoldenCase& golden, const Arithmetic& arithmetic) {
  const Case c(golden, arithmetic.rounded_inputs());
  Evaluation e;
  evaluate_gradients(golden, c, arithmetic, e);
  if (arithmetic.rounded_inputs() && arithmetic.perturbation.run > 0)
    return e;  // one run of noise is enough for the steps, which are many runs themselves
  evaluate_search(golden, c, arithmetic, golden.params.value("sgd", json::object()).value("grad_clip", 0.0), "", e);
  static const std::regex kClip("clip([0-9]+(?:\\.[0-9]+)?)_.*");
  std::map<std::string, double> clips;
  std::smatch match;
  for (const std::string& name : golden.order)
    if (std::regex_match(name, match, kClip)) clips["clip" + match[1].str() + "_"] = std::stod(match[1]);
  for (const auto& [prefix, clip] : clips) evaluate_search(golden, c, arithmetic, clip, prefix, e);

  const std::vector<std::string> given = {"weights", "alphas_normal", "alphas_reduce", "x_train",
                                          "y_train", "x_val",         "y_val"};
  for (const std::string& name : golden.order) {
    if (e.values.count(name) || std::find(given.begin(), given.end(), name) != given.end()) continue;
    if (name.rfind("unrolled_", 0) != 0) throw NotCovered("tensor '" + name + "' of darts_supernet");
    e.not_covered.push_back(name);
  }
  return e;
}

}  // namespace mixop::cli
