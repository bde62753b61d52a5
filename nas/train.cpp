#include "nas/train.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/cross_entropy.h"
#include "nas/ledger.h"

namespace mixop::nas {

using kernels::Reduction;

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
  Value norm;
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
  return {loss, correct, norm, autograd::Plan(g, asked, arena_, compile_)};
}

void NetworkTraining::begin_epoch(int epoch) {
  stores_.optimizer.set("weights.lr", autograd::cosine_lr(options_.lr, options_.lr_min, epoch, options_.epochs));
  if (stores_.state.find("drop_path.keep") >= 0)
    stores_.state.set("drop_path.keep", 1 - options_.drop_path_prob * epoch / options_.epochs);
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

double NetworkTraining::gradient_norm() const {
  return last_step_.plan ? last_step_.plan->scalar(train_.at(last_step_.images).norm, last_step_.run) : 0;
}

}  // namespace mixop::nas
