#include "nas/cli/search_task.h"

#include <fmt/format.h>

#include "datasets/random.h"
#include "kernels/core/check.h"
#include "nas/cli/npz.h"
#include "nas/draw.h"
#include "nas/network.h"

namespace mixop::cli {
namespace {

const std::vector<std::string> kTables = {"alphas_normal", "alphas_reduce"};

nas::DartsOptions search_options(const Config& c, const datasets::Dataset& data) {
  nas::DartsOptions o;
  o.net.channels = c.integer("search.channels");
  o.net.cells = static_cast<int>(c.integer("search.cells"));
  o.net.nodes = o.net.multiplier = static_cast<int>(c.integer("search.nodes"));
  o.net.lowering = nas::parse_lowering(c.text("search.lowering"));
  o.net.classes = data.classes;
  o.net.height = data.height;
  o.net.width = data.width;
  o.net.image_channels = data.channels;
  o.epochs = static_cast<int>(c.integer("search.epochs"));
  o.seed = static_cast<uint64_t>(c.integer("search.seed"));
  o.lr = c.real("weights.lr");
  o.lr_min = c.real("weights.lr_min");
  o.weights.momentum = c.real("weights.momentum");
  o.weights.weight_decay = c.real("weights.weight_decay");
  o.weights.clip = c.real("weights.grad_clip");
  o.arch_lr = c.real("arch.lr");
  o.arch.beta1 = c.real("arch.beta1");
  o.arch.beta2 = c.real("arch.beta2");
  o.arch.weight_decay = c.real("arch.weight_decay");
  o.net.check();
  return o;
}

}  // namespace

SearchTask::SearchTask(Config& config, nas::Ledger& ledger, const autograd::CompileOptions& compile) {
  nas::Stopwatch watch;
  train_ = datasets::open_train(config.text("data.name"), config.text("data.root"));
  options_ = search_options(config, train_);
  fill_augment(config);
  const datasets::Augment augment = training_augment(config, train_);
  const auto used = first_indices(train_.size(), config.integer("data.train_images"), "data.train_images");
  const auto halves = datasets::darts_split(static_cast<int64_t>(used.size()), config.real("data.train_portion"));
  const int64_t batch = config.integer("search.batch");
  using datasets::Order;
  const Order valid_order = config.text("data.sampler") == "epoch" ? Order::kShuffle : Order::kRandomBatch;
  // All three with the training transform: in DARTS both halves belong to one data set object.
  const bool resident = images_on_device(config);
  const auto loader = [&](const std::vector<int64_t>& indices, Order order, uint64_t stream) {
    return std::make_unique<datasets::Loader>(train_, indices, batch, augment, order,
                                              datasets::mix(options_.seed, stream), 3, content(resident));
  };
  train_loader_ = loader(halves.weights, Order::kShuffle, 1);
  valid_loader_ = loader(halves.alphas, valid_order, 2);
  eval_loader_ = loader(halves.alphas, Order::kSequential, 3);
  ledger.add(nas::Phase::kData, {.seconds = watch.lap()});

  const nas::DartsSearch::BatchSizes sizes{batch_sizes(*train_loader_), batch_sizes(*valid_loader_),
                                           batch_sizes(*eval_loader_)};
  nas::ImageSource images;
  if (resident) images = add_resident(resident_, "train", train_);
  search_ = std::make_unique<nas::DartsSearch>(options_, sizes, kernels::DType::kF32, compile, images);
  if (resident) fill_resident(resident_, "train", train_, augment);
  for (const int64_t n : sizes.valid) arch_cost_[n] = nas::cost_of(search_->arch_plan(n), n);
  for (const int64_t n : sizes.train) weight_cost_[n] = nas::cost_of(search_->weight_plan(n), n);
  for (const int64_t n : sizes.eval) eval_cost_[n] = nas::cost_of(search_->eval_plan(n), n);
  const auto plans = static_cast<int64_t>(sizes.train.size() + sizes.valid.size() + sizes.eval.size());
  ledger.add(nas::Phase::kBuild, {.calls = plans, .seconds = watch.lap()});
  for (const std::string& table : kTables) history_[table] = {};
}

std::vector<std::pair<std::string, datasets::Loader*>> SearchTask::loaders() {
  return {{"train", train_loader_.get()}, {"valid", valid_loader_.get()}, {"eval", eval_loader_.get()}};
}

void SearchTask::step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const datasets::Batch& valid = next(*valid_loader_, ledger);
  queue_.add(search_->begin_arch_step(view(valid)), 0, nas::Phase::kArchStep, arch_cost_.at(valid.size), scores,
             ledger);

  const datasets::Batch& train = next(*train_loader_, ledger);
  queue_.add(search_->begin_weight_step(view(train)), 1, nas::Phase::kWeightStep, weight_cost_.at(train.size),
             scores, ledger);
}

void SearchTask::settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) { queue_.settle(scores, ledger); }

autograd::Choices SearchTask::choices() const {
  autograd::Choices all;
  for (const auto& [n, cost] : arch_cost_) add_choices(all, search_->arch_plan(n));
  for (const auto& [n, cost] : weight_cost_) add_choices(all, search_->weight_plan(n));
  for (const auto& [n, cost] : eval_cost_) add_choices(all, search_->eval_plan(n));
  return all;
}

std::optional<nas::Score> SearchTask::evaluate(nas::Ledger& ledger, const GoOn& go_on) {
  return evaluate_over(*eval_loader_, eval_cost_, ledger, go_on,
                       [&](const nas::Batch& batch) { return search_->evaluate(batch); });
}

void SearchTask::end_epoch(int epoch, RunDirectory& directory) {
  const std::string genotype = nas::format_genotype(search_->genotype());
  directory.genotypes().line(fmt::format("{}\t{}", epoch, genotype));
  directory.log("genotype = " + genotype);
  for (const std::string& table : kTables) {
    const std::vector<double> alphas = search_->alphas(table);
    history_[table].emplace_back(alphas.begin(), alphas.end());
  }
}

void SearchTask::write_files(RunDirectory& directory) const {
  std::vector<NpyArray> arrays;
  for (const std::string& table : kTables) {
    NpyArray array{table, {0, options_.net.edges(), static_cast<int64_t>(options_.net.operations.size())}, {}};
    for (const Table& epoch : history_.at(table)) {
      array.values.insert(array.values.end(), epoch.begin(), epoch.end());
      ++array.shape[0];
    }
    arrays.push_back(std::move(array));
  }
  directory.write("alphas.npz", to_npz(arrays));
}

Json SearchTask::data() const {
  return {{"name", train_.name},
          {"train", describe_part(train_)},
          {"weights_half", train_loader_->size()},
          {"alphas_half", valid_loader_->size()}};
}

int64_t SearchTask::parameters() const { return search_->stores().weights.elements(); }

std::string SearchTask::describe() const {
  const nas::NetworkSize size = nas::measure_supernet(options_.net);
  nas::Stores& stores = search_->stores();
  std::string text = fmt::format("supernet: {} parameters, {} alphas, {:.3f} MMAC an image\n", size.parameters,
                                 stores.alphas.elements(), size.macs * 1e-6);
  text += fmt::format("data: {} of {}x{}x{}, {} classes; {} images train the weights, {} the alphas\n", train_.name,
                      train_.height, train_.width, train_.channels, train_.classes, train_loader_->size(),
                      valid_loader_->size());
  text += fmt::format("steps: {} an epoch, {} in all\n", steps_per_epoch(), steps_per_epoch() * epochs());
  return text + describe_memory(stores, search_->arena_bytes(), train_.pixels.size(),
                                {{"arch_step", &search_->arch_plan(arch_cost_.rbegin()->first)},
                                 {"weight_step", &search_->weight_plan(weight_cost_.rbegin()->first)},
                                 {"evaluation", &search_->eval_plan(eval_cost_.rbegin()->first)}});
}

std::string SearchTask::report(RunDirectory& directory, const Evaluations& evaluations, bool finished) {
  const nas::Genotype genotype = search_->genotype();
  for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce}) {
    const std::string name = "cell_" + std::string(nas::cell_kind_name(kind));
    directory.write(name + ".svg",
                    nas::draw_svg(genotype.cell(kind), std::string(nas::cell_kind_name(kind)) + " cell"));
    directory.write(name + ".dot", nas::draw_dot(genotype, kind));
  }
  std::string text = fmt::format("genotype = {}\n", nas::format_genotype(genotype));
  if (evaluations.last_epoch >= 0)
    text += fmt::format("supernet validation accuracy {:.2f} % ({} images, after epoch {})\n",
                        100 * evaluations.last.accuracy(), evaluations.last.images, evaluations.last_epoch + 1);
  if (!finished) text += "not finished: the genotype is that of the alphas so far\n";
  return text;
}

}  // namespace mixop::cli
