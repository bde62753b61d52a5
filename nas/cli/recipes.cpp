#include "nas/cli/recipes.h"

#include <fmt/format.h>

#include <utility>

namespace mixop::cli {
namespace {

using Settings = std::vector<std::pair<const char*, const char*>>;  // value by key

struct Recipe {
  const char* name;
  Settings settings;
};

const std::vector<Recipe>& recipes() {
  static const std::vector<Recipe> kRecipes = {
      // Liu, Simonyan and Yang 2019, train.py with --auxiliary --cutout.
      {"darts-cifar",
       {{"train.layers", "20"},
        {"train.init_channels", "36"},
        {"train.epochs", "600"},
        {"train.batch", "96"},
        {"train.auxiliary", "true"},
        {"train.auxiliary_weight", "0.4"},
        {"train.drop_path_prob", "0.2"},
        {"train.drop_path_schedule", "linear"},
        {"weights.lr", "0.025"},
        {"weights.lr_min", "0"},
        {"weights.weight_decay", "3e-4"},
        {"weights.grad_clip", "5"},
        {"data.cutout", "16"}}},
      // The same, train_imagenet.py with --auxiliary.
      {"darts-imagenet",
       {{"train.layers", "14"},
        {"train.init_channels", "48"},
        {"train.imagenet", "true"},
        {"train.epochs", "250"},
        {"train.batch", "128"},
        {"train.auxiliary", "true"},
        {"train.auxiliary_weight", "0.4"},
        {"train.drop_path_prob", "0"},
        {"train.label_smoothing", "0.1"},
        {"weights.lr", "0.1"},
        {"weights.weight_decay", "3e-5"},
        {"weights.grad_clip", "5"},
        {"weights.lr_schedule", "step"},
        {"weights.lr_gamma", "0.97"},
        {"data.image_size", "224"},
        {"data.resized_crop", "true"},
        {"data.flip", "true"},
        {"data.jitter", "0.4"},
        {"data.hue_jitter", "0.2"}}},
      // Zoph et al. 2018 as the authors' slim code trains it: 18 normal cells and 2 reductions, keep 0.6.
      {"nasnet-cifar",
       {{"train.layers", "20"},
        {"train.init_channels", "32"},
        {"train.epochs", "600"},
        {"train.batch", "32"},
        {"train.auxiliary", "true"},
        {"train.auxiliary_weight", "0.4"},
        {"train.drop_path_prob", "0.4"},
        {"train.drop_path_schedule", "scheduled"},
        {"weights.lr", "0.025"},
        {"weights.lr_min", "0"},
        {"weights.weight_decay", "5e-4"},
        {"weights.grad_clip", "5"}}},
      // Pham et al. 2018 as the released scripts train: their penalty, 2e-4 times the sum of squares, is a decay of
      // 4e-4, and their clipping has no effect.
      {"enas-micro",
       {{"train.space", "enas-micro"},
        {"train.layers", "15"},
        {"train.init_channels", "36"},
        {"train.epochs", "630"},
        {"train.batch", "144"},
        {"train.auxiliary", "true"},
        {"train.auxiliary_weight", "0.4"},
        {"train.drop_path_prob", "0.4"},
        {"train.drop_path_schedule", "scheduled"},
        {"train.dropout", "0.2"},
        {"weights.lr", "0.05"},
        {"weights.lr_min", "0.0001"},
        {"weights.lr_schedule", "restarts"},
        {"weights.lr_period", "10"},
        {"weights.nesterov", "true"},
        {"weights.weight_decay", "4e-4"},
        {"weights.grad_clip", "0"}}},
      {"enas-macro",
       {{"train.space", "enas-macro:layers=24"},
        {"train.init_channels", "96"},
        {"train.epochs", "310"},
        {"train.batch", "100"},
        {"train.drop_path_prob", "0"},
        {"train.dropout", "0.5"},
        {"weights.lr", "0.05"},
        {"weights.lr_min", "0.001"},
        {"weights.lr_schedule", "restarts"},
        {"weights.lr_period", "10"},
        {"weights.nesterov", "true"},
        {"weights.weight_decay", "4e-4"},
        {"weights.grad_clip", "0"}}},
      // Dong and Yang 2020: 5 cells a stage.
      {"nb201",
       {{"train.space", "nb201"},
        {"train.layers", "5"},
        {"train.init_channels", "16"},
        {"train.epochs", "200"},
        {"train.batch", "256"},
        {"train.drop_path_prob", "0"},
        {"weights.lr", "0.1"},
        {"weights.lr_min", "0"},
        {"weights.nesterov", "true"},
        {"weights.weight_decay", "5e-4"},
        {"weights.grad_clip", "0"}}},
  };
  return kRecipes;
}

}  // namespace

std::vector<std::string> recipe_names() {
  std::vector<std::string> names = {"none"};
  for (const Recipe& r : recipes()) names.emplace_back(r.name);
  return names;
}

void apply_recipe(const std::string& name, Config& config) {
  for (const Recipe& r : recipes())
    if (name == r.name)
      for (const auto& [key, value] : r.settings) config.suggest(key, value);
}

}  // namespace mixop::cli
