#include "nas/cli/enas_keys.h"

#include "nas/cli/keys.h"
#include "nas/cli/shared_space.h"
#include "nas/cli/table_score.h"

namespace mixop::cli {
namespace {

using nas::EnasSpace;

nas::EnasOptions defaults(EnasSpace space) {
  switch (space) {
    case EnasSpace::kMicro:
      return {};
    case EnasSpace::kMacro:
      return nas::EnasOptions::macro();
    case EnasSpace::kEdges:
      break;
  }
  return nas::EnasOptions::nb201();
}

std::vector<Key> search_part(const std::string& name, const nas::EnasOptions& o) {
  const EnasSpace space = o.controller.space;
  const bool micro = space == EnasSpace::kMicro, edges = space == EnasSpace::kEdges;
  const int64_t channels = micro ? 20 : space == EnasSpace::kMacro ? 36 : 16;
  std::vector<Key> keys = {
      text_key("search.space", "", name, "").one_of({name}),
      text_key("search.algo", "", "enas", "").one_of({"enas"}),
      int_key("search.channels", "--channels", channels, "channels of the first layers").in(1, 65536)};
  if (edges) {
    append(keys, {int_key("search.cells", "--cells", 5, "cells of each of the three stages").in(1, 1000)});
    append(keys, shared_space_keys());
  } else {
    append(keys,
           {int_key("search.layers", "--layers", micro ? 6 : 12,
                    micro ? "layers of the network besides the two that reduce" : "layers of the network")
                .in(1, 1000),
            real_key("search.dropout_keep", "--dropout-keep", 0.9, "probability to keep before the classifier")
                .in(0, 1)});
  }
  if (micro)
    append(
        keys,
        {bool_key("search.auxiliary", "--auxiliary", true, "a second classifier at two thirds of the depth"),
         real_key("search.auxiliary_weight", "--auxiliary-weight", o.auxiliary_weight, "of its loss").at_least(0),
         bool_key("search.reward_dropout", "--reward-dropout", false,
                  "drop out in measurements of accuracy too, as the authors' code does")});
  append(
      keys,
      {int_key("search.epochs", "--epochs", o.epochs, "passes over the training images").in(1, 1000000),
       int_key("search.batch", "--batch", micro ? 160 : 128, "images per step and per reward").in(1, 1000000),
       int_key("search.candidates", "--candidates", edges ? 100 : 10,
               "architectures drawn at the end, each measured on one batch; at most 10 of them after each epoch")
           .in(1, 1000000),
       int_key("search.finalists", "--finalists", edges ? 1 : 10,
               "best of those at the end, measured on all validation images; the best is the result")
           .in(1, 1000000),
       int_key("search.seed", "--seed", 0, "of weights, controller, data order and augmentation").in(0, kLargest)});
  return keys;
}

std::vector<Key> weight_part(const nas::EnasOptions& o) {
  const std::string clip = "global L2 norm of the gradient, 0: off";
  std::vector<Key> keys = {
      real_key("weights.lr", "--lr", o.lr, "learning rate at each restart, cosine from there").at_least(0),
      real_key("weights.lr_min", "--lr-min", o.lr_min, "where the cosine ends").at_least(0),
      int_key("weights.lr_period", "--lr-period", o.period, "epochs until the first restart").in(1, 1000000),
      int_key("weights.lr_factor", "--lr-factor", o.factor, "how much longer each later period is").in(1, 1000),
      real_key("weights.momentum", "--momentum", o.weights.momentum, "of SGD, Nesterov's").in(0, 1),
      real_key("weights.l2", "--l2", o.l2, "of the sum of squares of all weights, without 1/2: half a weight decay")
          .at_least(0),
      real_key("weights.grad_clip", "--grad-clip", o.weights.clip,
               o.weights.clip > 0 ? clip : clip + "; the authors' code sets 5 but uses the gradient as it was")
          .at_least(0)};
  if (o.controller.space == EnasSpace::kEdges)
    append(keys, {text_key("weights.lr_schedule", "--lr-schedule", "restarts",
                           "cosines with restarts, or a wave that rises again, as in the benchmark's code")
                      .one_of({"restarts", "wave"})});
  return keys;
}

std::vector<Key> controller_part(const nas::EnasControllerOptions& c, int updates) {
  std::vector<Key> keys = {
      int_key("controller.updates", "--updates", updates, "of the controller after each epoch").in(0, 1000000),
      int_key("controller.aggregate", "--aggregate", c.aggregate, "samples whose gradients an update averages")
          .in(1, 100000),
      real_key("controller.lr", "--controller-lr", c.lr, "of Adam").at_least(0),
      real_key("controller.beta1", "--controller-beta1", c.beta1, "of Adam").in(0, 0.999999),
      real_key("controller.beta2", "--controller-beta2", c.beta2, "of Adam").in(0, 0.999999),
      real_key("controller.eps", "--controller-eps", c.eps,
               c.space == EnasSpace::kEdges ? "of Adam" : "of Adam, as TensorFlow adds it")
          .at_least(1e-12),
      int_key("controller.units", "--units", c.units, "of the LSTM").in(1, 65536),
      real_key("controller.init", "--controller-init", c.init, "half-width of the uniform first parameters")
          .at_least(0),
      real_key("controller.temperature", "--temperature", c.temperature, "divides logits before the tanh, 0: none")
          .at_least(0),
      real_key("controller.tanh_constant", "--tanh-constant", c.tanh_constant, "bound of the logits")
          .at_least(1e-6),
      real_key("controller.entropy", "--entropy-weight", c.entropy_weight, "of the entropy in the reward")
          .at_least(0),
      real_key("controller.baseline_decay", "--baseline-decay", c.baseline_decay,
               "of the moving average of rewards")
          .in(0, 0.999999)};
  if (c.space == EnasSpace::kMicro)
    append(keys, {real_key("controller.op_tanh_reduce", "--op-tanh-reduce", c.op_tanh_reduce,
                           "divides the bound of the logits of operations")
                      .at_least(1e-6)});
  if (c.space == EnasSpace::kEdges)
    append(keys, {int_key("controller.lstm_layers", "--lstm-layers", c.lstm_layers, "of the LSTM").in(1, 100),
                  real_key("controller.grad_clip", "--controller-grad-clip", c.clip,
                           "global L2 norm of the controller's gradient, 0: off")
                      .at_least(0),
                  text_key("controller.baseline_moves", "--baseline-moves", "sample",
                           "with every sample, or once an epoch, as in the benchmark's code")
                      .one_of({"sample", "epoch"})});
  if (c.space == EnasSpace::kMacro)
    append(keys,
           {real_key("controller.skip_target", "--skip-target", c.skip_target, "wanted rate of skips")
                .in(1e-6, 0.999999),
            real_key("controller.skip_weight", "--skip-weight", c.skip_weight, "of the penalty").at_least(0)});
  return keys;
}

}  // namespace

nas::EnasSpace enas_space(const std::string& name) {
  return name == "enas-micro" ? EnasSpace::kMicro : name == "enas-macro" ? EnasSpace::kMacro : EnasSpace::kEdges;
}

std::vector<Key> enas_keys(const std::string& space) {
  const nas::EnasOptions o = defaults(enas_space(space));
  std::vector<Key> keys = search_part(space, o);
  append(keys, weight_part(o));
  append(keys, controller_part(o.controller, o.updates));
  append(keys, data_keys("fashion-mnist"));
  if (o.controller.space == EnasSpace::kEdges) {
    append(keys, {real_key("data.train_portion", "--train-portion", 0.5,
                           "share of the images, the first ones, that trains the weights; the others give rewards")
                      .in(0, 1)});
    append(keys, table_score_keys());
  } else {
    append(keys, {real_key("data.valid_portion", "--valid-portion", 0.1,
                           "share of the images, the last ones, that rewards are measured on")
                      .in(0, 1)});
  }
  append(keys, run_keys());
  return keys;
}

nas::EnasOptions enas_options(const Config& c) {
  nas::EnasOptions o = defaults(enas_space(c.text("search.space")));
  nas::EnasControllerOptions& k = o.controller;
  o.epochs = static_cast<int>(c.integer("search.epochs"));
  o.seed = static_cast<uint64_t>(c.integer("search.seed"));
  o.lr = c.real("weights.lr");
  o.lr_min = c.real("weights.lr_min");
  o.period = c.integer("weights.lr_period");
  o.factor = c.integer("weights.lr_factor");
  o.weights.momentum = c.real("weights.momentum");
  o.weights.clip = c.real("weights.grad_clip");
  o.l2 = c.real("weights.l2");
  o.updates = static_cast<int>(c.integer("controller.updates"));
  k.aggregate = static_cast<int>(c.integer("controller.aggregate"));
  k.lr = c.real("controller.lr");
  k.beta1 = c.real("controller.beta1");
  k.beta2 = c.real("controller.beta2");
  k.eps = c.real("controller.eps");
  k.units = c.integer("controller.units");
  k.init = c.real("controller.init");
  k.temperature = c.real("controller.temperature");
  k.tanh_constant = c.real("controller.tanh_constant");
  k.entropy_weight = c.real("controller.entropy");
  k.baseline_decay = c.real("controller.baseline_decay");
  switch (k.space) {
    case EnasSpace::kMicro:
      o.auxiliary_weight = c.real("search.auxiliary_weight");
      k.op_tanh_reduce = c.real("controller.op_tanh_reduce");
      break;
    case EnasSpace::kMacro:
      k.layers = static_cast<int>(c.integer("search.layers"));
      k.skip_target = c.real("controller.skip_target");
      k.skip_weight = c.real("controller.skip_weight");
      break;
    case EnasSpace::kEdges:
      k.lstm_layers = static_cast<int>(c.integer("controller.lstm_layers"));
      k.clip = c.real("controller.grad_clip");
      k.hold_baseline = c.text("controller.baseline_moves") == "epoch";
      o.wave = c.text("weights.lr_schedule") == "wave";
      break;
  }
  return o;
}

}  // namespace mixop::cli
