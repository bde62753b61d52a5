#include "nas/train.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "nas/ledger.h"

namespace mixop::nas {

using kernels::Reduction;

double learning_rate(const TrainOptions& o, int epoch) {
  switch (o.lr_schedule) {
    case LrSchedule::kStep:
      return autograd::step_lr(o.lr, o.lr_gamma, epoch, 1);
    case LrSchedule::kRestarts:
      return autograd::cosine_restarts_lr(o.lr, o.lr_min, epoch, o.lr_period, 2);
    case LrSchedule::kCosine:
      break;
  }
  return autograd::cosine_lr(o.lr, o.lr_min, epoch, o.epochs);
}

NetworkTraining::NetworkTraining(const TrainOptions& options, const std::vector<int64_t>& train_sizes,
                                 const std::vector<int64_t>& eval_sizes, kernels::DType real,
                                 const autograd::CompileOptions& compile_options, ImageSource train_images,
                                 ImageSource eval_images)
    : options_(options),
      train_images_(std::move(train_images)),
      eval_images_(std::move(eval_images)),
      stores_(real, options.seed),
      compile_(compile_options),
      arena_(std::make_shared<autograd::Arena>(compile_options.device)) {
  options_.net.drop_path = options_.drop_path_prob > 0;
  options_.net.seed = options_.seed;
  if (options_.net.drop_path) options_.net.schedule = {options_.drop_path_prob, options_.scheduled_steps};
  for (const int64_t n : train_sizes) train_.try_emplace(n, compile(true, n));
  for (const int64_t n : eval_sizes) eval_.try_emplace(n, compile(false, n));
  for (TensorStore* store : stores_.all()) store->bind();
  if (!train_.empty()) begin_epoch(0);
}

NetworkTraining::Step NetworkTraining::compile(bool training, int64_t batch) {
  const NetworkOptions& o = options_.net;
  Graph g(stores_.weights.dtype());
  const Value images =
      images_of(g, training ? train_images_ : eval_images_, {batch, o.height, o.width, o.image_channels});
  const Value labels = g.input("labels", {batch}, kernels::DType::kI32);
  const NetworkOutputs net = options_.build ? options_.build(g, images, stores_, training)
                                            : build_network(g, images, stores_, o, training);
  const double smoothing = training ? options_.label_smoothing : 0;
  Value loss = autograd::cross_entropy(g, net.logits, labels, smoothing, Reduction::kMean);
  if (net.auxiliary) {
    const Value aux = autograd::cross_entropy(g, net.auxiliary, labels, smoothing, Reduction::kMean);
    loss = autograd::add(g, loss, autograd::mul(g, aux, autograd::constant(g, {1}, options_.auxiliary_weight)));
  }
  const Value correct = autograd::top1(g, net.logits, labels);
  std::vector<Value> asked = {loss, correct};
  Value norm, logits;
  if (!training) asked.push_back(logits = net.logits);
  if (training) {
    const auto nodes = options_.adam ? autograd::adam(g, loss, stores_.weights, stores_.optimizer, *options_.adam)
                                     : autograd::sgd(g, loss, stores_.weights, stores_.optimizer, options_.sgd);
    norm = nodes.norm;
    if (norm) asked.push_back(norm);
    asked.push_back(nodes.step);
    // On the device itself: a captured graph draws new masks each time.
    if (stores_.state.find("counter") >= 0)
      asked.push_back(autograd::advance(g, g.tensor(stores_.state, "counter", {1})));
  }
  return {loss, correct, norm, logits, autograd::Plan(g, asked, arena_, compile_)};
}

void NetworkTraining::begin_epoch(int epoch) {
  stores_.optimizer.set("weights.lr", nas::learning_rate(options_, epoch));
  if (stores_.state.find("drop_path.keep") >= 0)
    stores_.state.set("drop_path.keep", 1 - options_.drop_path_prob * epoch / options_.epochs);
}

void NetworkTraining::choose(std::span<const int32_t> values) {
  for (auto* steps : {&train_, &eval_})
    for (auto& entry : *steps) entry.second.plan.choose(values);
}

PendingScore NetworkTraining::run(std::map<int64_t, Step>& steps, const Batch& batch) {
  const auto it = steps.find(batch.size);
  MIXOP_CHECK(it != steps.end(), "training: no plan was compiled for a batch of ", batch.size);
  Step& step = it->second;
  const Stopwatch watch;
  feed(step.plan, batch);
  const int64_t number = step.plan.run();
  return {&step.plan, step.loss, step.correct, number, batch.size, watch.elapsed()};
}

Score NetworkTraining::evaluate(const Batch& batch, Confusion* confusion) {
  const Score score = run(eval_, batch).get();
  if (confusion) {
    const Step& step = eval_.at(batch.size);
    confusion->add(step.plan.output(step.logits), batch.labels);
  }
  return score;
}

double NetworkTraining::gradient_norm() const {
  return last_step_.plan ? last_step_.plan->scalar(train_.at(last_step_.images).norm, last_step_.run) : 0;
}

}  // namespace mixop::nas
