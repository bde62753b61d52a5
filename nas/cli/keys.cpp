#include "nas/cli/keys.h"

#include <fmt/format.h>

#include <algorithm>

#include "nas/cli/device_option.h"
#include "nas/cli/recipes.h"
#include "nas/cli/shared_space.h"
#include "nas/cli/table_score.h"

namespace mixop::cli {
namespace {

std::vector<Key> weight_keys(double lr, double lr_min, double decay) {
  return {text_key("weights.opt", "", "sgd", "").one_of({"sgd"}),
          real_key("weights.lr", "--lr", lr, "learning rate of epoch 0, cosine from there").at_least(0),
          real_key("weights.lr_min", "--lr-min", lr_min, "where the cosine ends").at_least(0),
          real_key("weights.momentum", "--momentum", 0.9, "of SGD").in(0, 1),
          real_key("weights.weight_decay", "--weight-decay", decay, "L2, added after clipping").at_least(0),
          real_key("weights.grad_clip", "--grad-clip", 5, "global L2 norm of the gradient, 0: off").at_least(0)};
}

Key setting_key(const nas::Setting& setting) {
  using Type = nas::Setting::Type;
  std::string flag = "--" + setting.name;
  std::replace(flag.begin(), flag.end(), '_', '-');
  Key key{.name = "strategy." + setting.name, .flag = flag, .type = {}, .fallback = {}, .help = setting.help};
  switch (setting.type) {
    case Type::kInt:
      key.type = Key::Type::kInt;
      key.fallback = int64_t{std::stoll(setting.fallback)};
      break;
    case Type::kReal:
      key.type = Key::Type::kReal;
      key.fallback = std::stod(setting.fallback);
      break;
    case Type::kText:
      key.type = Key::Type::kText;
      key.fallback = setting.fallback;
      return std::move(key).one_of(setting.choices);
  }
  constexpr double kBound = 1e300;  // beyond: none
  if (setting.least > -kBound) key.least = setting.least;
  if (setting.most < kBound) key.most = setting.most;
  return key;
}

}  // namespace

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

void append(std::vector<Key>& to, std::vector<Key> keys) {
  for (Key& key : keys) to.push_back(std::move(key));
}

std::vector<Key> data_keys(const std::string& fallback) {
  return {
      text_key("data.name", "--data", fallback,
               "fashion-mnist, mnist, idx, cifar10, cifar100, cifar10-jpeg75, svhn, "
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

std::vector<Key> setting_keys(const std::vector<nas::Setting>& settings, const std::vector<Key>& others) {
  std::vector<Key> keys;
  for (const nas::Setting& setting : settings) {
    Key key = setting_key(setting);
    const auto same = [&](const Key& other) { return other.flag == key.flag; };
    if (std::any_of(others.begin(), others.end(), same)) key.flag.insert(2, "strategy-");
    keys.push_back(std::move(key));
  }
  return keys;
}

nas::Settings settings_of(const std::vector<nas::Setting>& settings, const Config& config) {
  nas::Settings values(settings);
  for (const nas::Setting& s : settings) {
    const std::string key = "strategy." + s.name;
    values.set(s.name, s.type == nas::Setting::Type::kInt    ? std::to_string(config.integer(key))
                       : s.type == nas::Setting::Type::kReal ? fmt::format("{}", config.real(key))
                                                             : config.text(key));
  }
  return values;
}

std::string algo_name(const nas::AlphaMethodInfo& method) {
  return method.name == "darts" ? "darts1" : method.name;
}

namespace {

/// Methods that have networks of their own have them of the DARTS space only.
std::vector<std::string> spaces_of(const nas::AlphaMethodInfo& method) {
  for (const char* name : {"darts", "beta-darts", "gdas", "snas"})
    if (method.name == name) return {"darts", "nb201"};
  return {"darts"};
}

}  // namespace

std::vector<Key> search_keys(const nas::AlphaMethodInfo& method) {
  const nas::AlphaDefaults& d = method.defaults;
  const std::string algo = algo_name(method);
  std::vector<Key> keys = {
      text_key("search.space", "--space", "darts", "what is searched").one_of(spaces_of(method)),
      text_key("search.algo", "", algo, "").one_of({algo}),
      int_key("search.channels", "--channels", d.channels, "channels of the first cells").in(1, 65536),
      int_key("search.cells", "--cells", {}, "cells of the supernet, or of each stage (nb201: 5)").in(1, 1000),
      int_key("search.nodes", "--nodes", 4, "nodes of a cell").in(1, 16),
      text_key("search.lowering", "--lowering", "grouped",
               "how the supernet becomes a graph: by source, or a node per edge and operation")
          .one_of({"grouped", "reference"}),
      int_key("search.epochs", "--epochs", d.epochs, "passes over the weights' half").in(1, 1000000),
      int_key("search.batch", "--batch", d.batch, "images per step").in(1, 1000000),
      int_key("search.seed", "--seed", 2, "of weights, alphas, data order and augmentation").in(0, kLargest)};
  append(keys, shared_space_keys());
  if (method.name == "darts")
    append(keys,
           {int_key("search.order", "--order", 1, "2: alphas look one step of the weights ahead").in(1, 2),
            text_key("search.hessian", "--hessian", "finite-difference", "its product in order 2")
                .one_of({"finite-difference", "exact"}),
            real_key("search.stop_eigenvalue", "--stop-eigenvalue", 0,
                     "stop once the dominant eigenvalue of the alphas' Hessian, measured with each evaluation, "
                     "has risen by this factor (1.3, Zela et al. 2020); 0: never")
                .at_least(0)});
  append(keys, table_score_keys());
  append(keys, weight_keys(d.lr, d.lr_min, d.weight_decay));
  append(
      keys,
      {bool_key("weights.nesterov", "--nesterov", d.nesterov, "Nesterov momentum"),
       text_key("arch.opt", "", "adam", "").one_of({"adam"}),
       real_key("arch.lr", "--arch-lr", d.arch_lr, "of the alphas, constant").at_least(0),
       real_key("arch.beta1", "--arch-beta1", d.arch_beta1, "of Adam").in(0, 1),
       real_key("arch.beta2", "--arch-beta2", 0.999, "of Adam").in(0, 1),
       real_key("arch.weight_decay", "--arch-weight-decay", d.arch_weight_decay, "L2 in the gradient").at_least(0),
       real_key("arch.grad_clip", "--arch-grad-clip", d.arch_clip, "L2 norm of the alphas' gradient, 0: off")
           .at_least(0)});
  append(keys, data_keys("fashion-mnist"));
  append(
      keys,
      {real_key("data.train_portion", "--train-portion", d.train_portion, "share that trains the weights").in(0, 1),
       text_key("data.sampler", "--sampler", "with_replacement", "batches of the architecture step")
           .one_of({"with_replacement", "epoch"})});
  append(keys, run_keys());
  std::vector<Key> all = setting_keys(method.settings, keys);
  append(all, std::move(keys));
  return all;
}

std::vector<Key> train_keys() {
  std::vector<Key> keys = {
      text_key("train.recipe", "--recipe", "none", "published settings as defaults; other flags beat them")
          .one_of(recipe_names()),
      text_key("train.space", "--space", "darts",
               "what --arch is written in: darts (cells by name, text or file), or a space of `mixop arch`"),
      text_key("train.arch", "--arch", {},
               "name, text or @file (its last architecture) or @run (of `mixop search` or `mixop train`)"),
      text_key("train.from", "--from", "", "run of `mixop train` or checkpoint whose weights are the first ones"),
      text_key("train.seeds", "--seeds", {}, "one run after the other: a number of seeds from --seed on, or 3,5,8")
          .when_resumed(OnResume::kForget),
      int_key("train.layers", "--layers", 20, "cells of the network; of other spaces: cells of a stage")
          .in(1, 1000),
      int_key("train.init_channels", "--init-channels", 36, "channels of the first cells").in(1, 65536),
      bool_key("train.imagenet", "--imagenet", false, "stem of three strided convolutions"),
      bool_key("train.auxiliary", "--auxiliary", false, "a second classifier at two thirds of the depth"),
      real_key("train.auxiliary_weight", "--auxiliary-weight", 0.4, "of its loss").at_least(0),
      real_key("train.drop_path_prob", "--drop-path-prob", 0.2, "of the end; cells of darts and enas-micro")
          .in(0, 0.999),
      text_key("train.drop_path_schedule", "--drop-path-schedule", "linear",
               "linear by epoch, or scheduled: by step, deeper cells more (ScheduledDropPath)")
          .one_of({"linear", "scheduled"}),
      real_key("train.dropout", "--dropout", 0, "before the classifier; networks of ENAS alone").in(0, 0.999),
      real_key("train.label_smoothing", "--label-smoothing", 0, "share spread over all classes").in(0, 1),
      int_key("train.epochs", "--epochs", 600, "passes over the training images").in(1, 1000000),
      int_key("train.batch", "--batch", 96, "images per step").in(1, 1000000),
      int_key("train.eval_batch", "--eval-batch", 0, "images per batch of a test, 0: as in training")
          .in(0, 1000000),
      int_key("train.seed", "--seed", 0, "of weights, data order, augmentation and drop-path").in(0, kLargest)};
  append(keys, weight_keys(0.025, 0, 3e-4));
  append(keys, {bool_key("weights.nesterov", "--nesterov", false, "Nesterov's momentum"),
                text_key("weights.lr_schedule", "--lr-schedule", "cosine",
                         "by epoch: cosine to --lr-min, step: times --lr-gamma each epoch, restarts: cosines")
                    .one_of({"cosine", "step", "restarts"}),
                real_key("weights.lr_gamma", "--lr-gamma", 0.97, "of step").in(0, 1),
                int_key("weights.lr_period", "--lr-period", 10, "epochs of the first of the restarts, then doubled")
                    .in(1, 1000000)});
  append(keys, data_keys("fashion-mnist"));
  append(keys,
         {int_key("data.test_images", "--test-images", 0, "test the first N images, 0: all").in(0, kLargest),
          int_key("data.image_size", "--image-size", 0,
                  "side of the images made of those of the data; 0: theirs. Tests take the middle of 8/7 of it")
              .in(0, 4096),
          bool_key("data.resized_crop", "--resized-crop", false,
                   "a random part (area 0.08..1) resized, in place of --crop"),
          real_key("data.jitter", "--colour-jitter", 0, "of brightness, contrast and saturation: factors 1-X..1+X")
              .in(0, 1),
          real_key("data.hue_jitter", "--hue-jitter", 0, "of the hue: turned by -X..X of the circle").in(0, 0.5)});
  append(keys, run_keys());
  return keys;
}

}  // namespace mixop::cli
