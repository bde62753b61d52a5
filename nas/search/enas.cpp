#include "nas/search/enas.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "nas/ledger.h"

namespace mixop::nas {
namespace {

bool reads(const Graph& g, const TensorStore& store, const std::string& name) {
  for (int i = 0; i < g.size(); ++i)
    if (g.node(i).store == &store && g.node(i).name == name) return true;
  return false;
}

}  // namespace

EnasOptions EnasOptions::macro() {
  EnasOptions o;
  o.controller = EnasControllerOptions::macro();
  o.epochs = 310;
  o.l2 = 2.5e-4;
  o.updates = 50;
  return o;
}

EnasOptions EnasOptions::nb201() {
  EnasOptions o;
  o.controller = EnasControllerOptions::nb201();
  o.epochs = 250;
  o.factor = 1;
  o.l2 = 1.25e-4;  // a weight decay of 2.5e-4: that is of l2's gradient, 2 * l2 * weight
  o.weights.clip = 5;
  o.updates = 50;
  return o;
}

SharedNetwork shared_network(std::shared_ptr<const MixedSpace> space) {
  SharedNetwork network;
  const auto image = space->image();
  network.height = image[0];
  network.width = image[1];
  network.image_channels = image[2];
  // A candidate that is not carried out is absent from its sum, so that all weights may be 1.
  network.build = [space](Graph& g, Value images, Stores& stores, bool training) {
    std::vector<Mixing> mixing;
    for (const MixTable& table : space->tables())
      mixing.push_back({autograd::constant(g, {table.rows, static_cast<int64_t>(table.columns.size())}, 1),
                        add_choices(g, table.rows)});
    return space->build(g, images, stores, mixing, training);
  };
  network.choices = [space](const Arch& arch) {
    std::vector<int32_t> choices;
    for (const RowChoices& table : space->path(arch)) choices.insert(choices.end(), table.begin(), table.end());
    return choices;
  };
  return network;
}

EnasSearch::EnasSearch(const EnasOptions& options, SharedNetwork network, const BatchSizes& sizes,
                       kernels::DType real, const autograd::CompileOptions& compile_options, ImageSource images)
    : options_(options),
      network_(std::move(network)),
      images_(std::move(images)),
      controller_(options.controller, options.seed),
      random_(options.seed),
      stores_(real, options.seed),
      compile_(compile_options),
      arena_(std::make_shared<autograd::Arena>(compile_options.device)) {
  options_.weights.weight_decay = 2 * options_.l2;
  for (const int64_t n : sizes.train) weight_.try_emplace(n, compile(true, n));
  for (const int64_t n : sizes.score) score_.try_emplace(n, compile(false, n));
  for (TensorStore* store : stores_.all()) store->bind();
  if (!weight_.empty()) begin_epoch(0);
}

EnasSearch::Step EnasSearch::compile(bool training, int64_t batch) {
  Graph g(stores_.weights.dtype());
  const Value images = images_of(g, images_, {batch, network_.height, network_.width, network_.image_channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  const NetworkOutputs net = network_.build(g, images, stores_, training);
  const auto cross_entropy = [&](Value logits) {
    return autograd::cross_entropy(g, logits, labels, 0.0, kernels::Reduction::kMean);
  };
  const Value plain = cross_entropy(net.logits), correct = autograd::top1(g, net.logits, labels);
  std::vector<Value> asked = {plain, correct};
  if (training) {
    Value loss = plain;
    if (net.auxiliary) {
      const Value weight = autograd::constant(g, {1}, options_.auxiliary_weight);
      loss = autograd::add(g, loss, autograd::mul(g, cross_entropy(net.auxiliary), weight));
    }
    asked.push_back(autograd::sgd(g, loss, stores_.weights, stores_.optimizer, options_.weights).step);
  }
  // On the device itself: a captured graph draws new masks each time. Scores draw some only when dropout stays on.
  if (reads(g, stores_.state, "counter"))
    asked.push_back(autograd::advance(g, g.tensor(stores_.state, "counter", {1})));
  return {plain, correct, autograd::Plan(g, asked, arena_, compile_)};
}

void EnasSearch::begin_epoch(int epoch) {
  const EnasOptions& o = options_;
  stores_.optimizer.set("weights.lr",
                        o.wave ? autograd::cosine_lr(o.lr, o.lr_min, epoch, static_cast<double>(o.period))
                               : autograd::cosine_restarts_lr(o.lr, o.lr_min, epoch, o.period, o.factor));
}

PendingScore EnasSearch::run(std::map<int64_t, Step>& steps, const Arch& arch, const Batch& batch) {
  const auto it = steps.find(batch.size);
  MIXOP_CHECK(it != steps.end(), "search: no plan was compiled for a batch of ", batch.size);
  Step& step = it->second;
  const Stopwatch watch;
  step.plan.choose(network_.choices(arch));
  feed(step.plan, batch);
  const int64_t number = step.plan.run();
  return {&step.plan, step.loss, step.correct, number, batch.size, watch.elapsed()};
}

PendingScore EnasSearch::begin_weight_step(const Batch& train) {
  last_ = controller_.sample(random_);
  return run(weight_, last_.arch, train);
}

Score EnasSearch::reward_step(const Batch& valid) {
  last_ = controller_.sample(random_);
  const Score score = run(score_, last_.arch, valid).get();
  controller_.learn(last_, score.accuracy());
  return score;
}

Score EnasSearch::score(const Arch& arch, const Batch& batch) { return run(score_, arch, batch).get(); }

Json EnasSearch::save() const { return {{"controller", controller_.save()}, {"random", random_.position()}}; }

void EnasSearch::load(const Json& state) {
  controller_.load(state.at("controller"));
  random_.seek(state.at("random"));
}

}  // namespace mixop::nas
