#include "nas/cli/keys.h"

#include "nas/cli/device_option.h"

namespace mixop::cli {
namespace {

std::vector<Key> weight_keys(double lr_min) {
  return {text_key("weights.opt", "", "sgd", "").one_of({"sgd"}),
          real_key("weights.lr", "--lr", 0.025, "learning rate of epoch 0, cosine from there").at_least(0),
          real_key("weights.lr_min", "--lr-min", lr_min, "where the cosine ends").at_least(0),
          real_key("weights.momentum", "--momentum", 0.9, "of SGD").in(0, 1),
          real_key("weights.weight_decay", "--weight-decay", 3e-4, "L2, added after clipping").at_least(0),
          real_key("weights.grad_clip", "--grad-clip", 5, "global L2 norm of the gradient, 0: off").at_least(0)};
}

std::vector<Key> run_keys() {
  std::vector<Key> keys = device_keys();
  append(keys,
         {text_key("run.out", "--out", {}, "run directory").when_resumed(OnResume::kForget),
          int_key("run.eval_every", "--eval-every", 1, "evaluate after every E epochs, 0: only after the last")
              .in(0, kLargest),
          text_key("run.ckpt_every", "--ckpt-every", "1ep", "steps between checkpoints, or epochs: 100, 1ep")
              .when_resumed(OnResume::kMayChange),
          int_key("run.keep", "--keep", 2, "checkpoints kept").in(1, 1000000).when_resumed(OnResume::kMayChange),
          int_key("run.log_every", "--log-every", 50, "steps between lines of metrics, 0: only epochs")
              .in(0, kLargest),
          int_key("run.max_steps", "--max-steps", 0, "stop with a checkpoint after N steps, 0: off")
              .in(0, kLargest)
              .when_resumed(OnResume::kForget),
          progress_key()});
  return keys;
}

}  // namespace

void append(std::vector<Key>& to, std::vector<Key> keys) {
  for (Key& key : keys) to.push_back(std::move(key));
}

std::vector<Key> data_keys(const std::string& fallback) {
  return {
      text_key("data.name", "--data", fallback,
               "fashion-mnist, mnist, idx, cifar10, cifar100, svhn, "
               "folder[:HxW], synthetic[:HxWxC[:CLASSES[:IMAGES]]]"),
      text_key("data.root", "--data-root", "", "directory of its files").when_resumed(OnResume::kMayChange),
      int_key("data.train_images", "--train-images", 0, "use the first N training images, 0: all").in(0, kLargest),
      bool_key("data.crop", "--crop", {}, "random crop from a border of 4; on for cifar, svhn, folder"),
      bool_key("data.flip", "--flip", {}, "random mirror image; on for cifar, folder"),
      int_key("data.cutout", "--cutout", 0, "side of the square cut out, 0: off").in(0, 4096),
      bool_key("data.on_device", "--data-on-device", true, "on a GPU keep all images there; the same bits without")
          .when_resumed(OnResume::kMayChange)};
}

std::vector<Key> device_keys() {
  return {text_key("run.device", "--device", "cpu", "cpu, cuda or cuda:N"),
          bool_key("run.graph", "--graph", true,
                   "on a GPU replay each step from a captured graph; the same bits without")
              .when_resumed(OnResume::kForget),
          bool_key("run.tf32", "--tf32", false, "on a GPU round the factors of matrix products to TF32"),
          text_key("run.storage", "--storage", "float32", "on a GPU how activations are stored")
              .one_of(storage_names()),
          text_key("run.tuning", "--tuning", "", "implementations measured by mixop tune")
              .when_resumed(OnResume::kForget),
          int_key("run.threads", "--threads", 0, "0: all cores; any number gives the same bits")
              .in(0, 4096)
              .when_resumed(OnResume::kForget)};
}

Key progress_key() {
  return text_key("run.progress", "--progress", "auto", "how to show progress on stderr")
      .one_of({"auto", "plain", "json", "none"})
      .when_resumed(OnResume::kForget);
}

std::vector<Key> search_keys() {
  std::vector<Key> keys = {
      text_key("search.space", "", "darts", "").one_of({"darts"}),
      text_key("search.algo", "", "darts1", "").one_of({"darts1"}),
      int_key("search.channels", "--channels", 16, "channels of the first cells").in(1, 65536),
      int_key("search.cells", "--cells", 8, "cells of the supernet").in(1, 1000),
      int_key("search.nodes", "--nodes", 4, "nodes of a cell").in(1, 16),
      text_key("search.lowering", "--lowering", "grouped",
               "how the supernet becomes a graph: by source, or a node per edge and operation")
          .one_of({"grouped", "reference"}),
      int_key("search.epochs", "--epochs", 50, "passes over the weights' half").in(1, 1000000),
      int_key("search.batch", "--batch", 64, "images per step").in(1, 1000000),
      int_key("search.seed", "--seed", 2, "of weights, alphas, data order and augmentation").in(0, kLargest)};
  append(keys, weight_keys(0.001));
  append(keys, {text_key("arch.opt", "", "adam", "").one_of({"adam"}),
                real_key("arch.lr", "--arch-lr", 3e-4, "of the alphas, constant").at_least(0),
                real_key("arch.beta1", "--arch-beta1", 0.5, "of Adam").in(0, 1),
                real_key("arch.beta2", "--arch-beta2", 0.999, "of Adam").in(0, 1),
                real_key("arch.weight_decay", "--arch-weight-decay", 1e-3, "L2 in the gradient").at_least(0)});
  append(keys, data_keys("fashion-mnist"));
  append(keys, {real_key("data.train_portion", "--train-portion", 0.5, "share that trains the weights").in(0, 1),
                text_key("data.sampler", "--sampler", "with_replacement", "batches of the architecture step")
                    .one_of({"with_replacement", "epoch"})});
  append(keys, run_keys());
  return keys;
}

std::vector<Key> train_keys() {
  std::vector<Key> keys = {
      text_key("train.arch", "--arch", {}, "name, genotype text or @file (its last genotype)"),
      int_key("train.layers", "--layers", 20, "cells of the network").in(1, 1000),
      int_key("train.init_channels", "--init-channels", 36, "channels of the first cells").in(1, 65536),
      bool_key("train.auxiliary", "--auxiliary", false, "a second classifier at two thirds of the depth"),
      real_key("train.auxiliary_weight", "--auxiliary-weight", 0.4, "of its loss").at_least(0),
      real_key("train.drop_path_prob", "--drop-path-prob", 0.2, "reached linearly at the end").in(0, 0.999),
      real_key("train.label_smoothing", "--label-smoothing", 0, "share spread over all classes").in(0, 1),
      int_key("train.epochs", "--epochs", 600, "passes over the training images").in(1, 1000000),
      int_key("train.batch", "--batch", 96, "images per step").in(1, 1000000),
      int_key("train.eval_batch", "--eval-batch", 0, "images per batch of a test, 0: as in training")
          .in(0, 1000000),
      int_key("train.seed", "--seed", 0, "of weights, data order, augmentation and drop-path").in(0, kLargest)};
  append(keys, weight_keys(0));
  append(keys, data_keys("fashion-mnist"));
  append(keys,
         {int_key("data.test_images", "--test-images", 0, "test the first N images, 0: all").in(0, kLargest)});
  append(keys, run_keys());
  return keys;
}

}  // namespace mixop::cli
