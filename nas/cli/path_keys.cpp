#include "nas/cli/path_keys.h"

#include "nas/cli/keys.h"
#include "nas/cli/shared_space.h"
#include "nas/cli/table_score.h"

namespace mixop::cli {
namespace {

using Selection = PathMethod::Selection;

std::vector<Key> training_keys(const PathMethod& m) {
  return {
      text_key("search.space", "--space", "darts", "darts, or nb201 (NAS-Bench-201)").one_of({"darts", "nb201"}),
      text_key("search.algo", "", m.name, "").one_of({m.name}),
      int_key("search.channels", "--channels", 16, "channels of the first cells").in(1, 65536),
      int_key("search.cells", "--cells", {}, "cells of the supernet (darts: 8), or of each stage (nb201: 5)")
          .in(1, 1000),
      int_key("search.epochs", "--epochs", m.epochs, "passes over the weights' half").in(1, 1000000),
      int_key("search.batch", "--batch", m.batch, "images per step").in(1, 1000000),
      int_key("search.seed", "--seed", 2, "of weights, paths, data order and augmentation").in(0, kLargest),
      real_key("search.label_smoothing", "--label-smoothing", m.label_smoothing, "share spread over all classes")
          .in(0, 1),
      text_key("weights.opt", "", "sgd", "").one_of({"sgd"}),
      real_key("weights.lr", "--lr", m.lr, "learning rate of epoch 0").at_least(0),
      real_key("weights.lr_min", "--lr-min", m.lr_min, "where the schedule ends").at_least(0),
      text_key("weights.schedule", "--schedule", m.schedule, "from there, per epoch").one_of({"cosine", "linear"}),
      real_key("weights.momentum", "--momentum", 0.9, "of SGD").in(0, 1),
      bool_key("weights.nesterov", "--nesterov", false, "Nesterov momentum"),
      real_key("weights.weight_decay", "--weight-decay", m.weight_decay, "L2, added after clipping").at_least(0),
      real_key("weights.grad_clip", "--grad-clip", m.clip, "global L2 norm of the gradient, 0: off").at_least(0)};
}

std::vector<Key> selection_keys(const PathMethod& m) {
  std::vector<Key> keys;
  if (m.selection == Selection::kRandom) {
    append(keys, {int_key("select.repetitions", "--repetitions", 0,
                          "random searches, 0: one for each 10000 steps, at least one")
                      .in(0, 1000000),
                  int_key("select.samples", "--samples", 1000, "random architectures of each").in(1, 1000000),
                  int_key("select.batches", "--score-batches", 10, "validation batches that score one; 0: all")
                      .in(0, 1000000)});
    if (m.path_dropout)
      append(keys, {text_key("select.by", "--select", "random",
                             "random architectures, or pruning: half by half, the candidates missed least go")
                        .one_of({"random", "pruning"})});
  } else {
    append(keys, {int_key("select.population", "--population", 50, "architectures of a generation").in(1, 1000000),
                  int_key("select.generations", "--generations", 20, "of the evolution").in(1, 1000000),
                  int_key("select.crossovers", "--crossovers", 25, "of a generation").in(0, 1000000),
                  int_key("select.mutants", "--mutants", 25, "of a generation").in(0, 1000000),
                  real_key("select.mutation_rate", "--mutation-rate", 0.1, "of each choice").in(0, 1)});
  }
  append(
      keys,
      {int_key("select.top", "--top", 10,
               m.selection == Selection::kRandom ? "best of them that are scored on all batches"
                                                 : "best so far that breed")
           .in(1, 1000000),
       real_key("select.max_mmacs", "--max-mmacs", 0, "limit on 1e6 multiply-adds an image, 0: none").at_least(0),
       real_key("select.max_parameters", "--max-parameters", 0, "limit, 0: none").at_least(0),
       real_key("select.max_latency", "--max-latency", 0,
                "limit on milliseconds for one image, measured on the CPU, 0: none")
           .at_least(0),
       text_key("select.statistics", "--statistics", m.statistics, "what batch norms take in scoring")
           .one_of({"batch", "running", "recalibrated"}),
       int_key("select.recalibration_batches", "--recalibration-batches", 200, "training batches, for each")
           .in(1, 1000000),
       int_key("select.recalibration_batch", "--recalibration-batch", 128, "images of such a batch").in(1, 1000000),
       int_key("select.valid_batch", "--valid-batch", 0, "images of a validation batch, 0: as in training")
           .in(0, 1000000)});
  return keys;
}

}  // namespace

const std::vector<PathMethod>& path_methods() {
  static const std::vector<PathMethod> methods = {
      {.name = "random-ws", .help = "random search with weight sharing (Li and Talwalkar 2019)"},
      {.name = "spos",
       .help = "single path one-shot: uniform paths, then evolution (Guo et al. 2020)",
       .selection = Selection::kEvolution,
       .epochs = 120,
       .batch = 1024,
       .lr = 0.5,
       .lr_min = 0,
       .weight_decay = 4e-5,
       .clip = 0,
       .label_smoothing = 0.1,
       .schedule = "linear",
       .statistics = "recalibrated"},
      {.name = "one-shot",
       .help = "one-shot training with path dropout, then random search (Bender et al. 2018)",
       .path_dropout = true,
       .clip = 0}};
  return methods;
}

std::vector<Key> path_keys(const PathMethod& method) {
  std::vector<Key> keys;
  if (method.path_dropout)
    keys = {real_key("search.path_dropout", "--path-dropout", 0.05,
                     "probability that all candidates of an edge are dropped, reached linearly at the end")
                .in(0, 1),
            int_key("search.ghost", "--ghost", 32, "images that have drops and batch statistics of their own")
                .in(1, 1000000)};
  append(keys, shared_space_keys());
  append(keys, training_keys(method));
  append(keys, selection_keys(method));
  append(keys, table_score_keys());
  append(keys, data_keys("fashion-mnist"));
  append(keys, {real_key("data.train_portion", "--train-portion", 0.5, "share that trains the weights").in(0, 1)});
  append(keys, run_keys());
  return keys;
}

}  // namespace mixop::cli
