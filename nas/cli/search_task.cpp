#include "nas/cli/search_task.h"

#include <fmt/format.h>

#include "datasets/random.h"
#include "kernels/core/check.h"
#include "nas/cli/keys.h"
#include "nas/cli/npz.h"
#include "nas/cli/search_report.h"
#include "nas/cli/shared_space.h"
#include "nas/draw.h"
#include "nas/network.h"

namespace mixop::cli {
namespace {

void draw(RunDirectory& directory, const nas::Genotype& genotype) {
  for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce}) {
    const std::string name = "cell_" + std::string(nas::cell_kind_name(kind));
    directory.write(name + ".svg",
                    nas::draw_svg(genotype.cell(kind), std::string(nas::cell_kind_name(kind)) + " cell"));
    directory.write(name + ".dot", nas::draw_dot(genotype, kind));
  }
}

}  // namespace

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
  o.weights.nesterov = c.on("weights.nesterov");
  o.arch_lr = c.real("arch.lr");
  o.arch.beta1 = c.real("arch.beta1");
  o.arch.beta2 = c.real("arch.beta2");
  o.arch.weight_decay = c.real("arch.weight_decay");
  o.arch.clip = c.real("arch.grad_clip");
  if (c.text("search.algo") == "darts1") {
    o.order = static_cast<int>(c.integer("search.order"));
    o.hessian = nas::parse_hessian_product(c.text("search.hessian"));
    if (c.real("search.stop_eigenvalue") > 0 && c.integer("run.eval_every") == 0)
      throw UsageError("--stop-eigenvalue: is measured with evaluations: give --eval-every 1 or more, not 0");
  }
  o.net.check();
  return o;
}

SearchTask::SearchTask(const nas::AlphaMethodInfo& method, Config& config, nas::Ledger& ledger,
                       const autograd::CompileOptions& compile)
    : compile_(compile) {
  nas::Stopwatch watch;
  fill_shared_space(config, method.defaults.cells);
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

  std::unique_ptr<nas::AlphaMethod> alphas = method.make(settings_of(method.settings, config));
  nas::DartsSearch::BatchSizes sizes{batch_sizes(*train_loader_), {}, batch_sizes(*eval_loader_)};
  if (!alphas->single_level()) sizes.valid = batch_sizes(*valid_loader_);
  if (resident) images_ = add_resident(resident_, "train", train_);
  if (config.text("search.algo") == "darts1" && config.real("search.stop_eigenvalue") > 0) {
    stop_.emplace(config.real("search.stop_eigenvalue"));
    options_.eigenvalue_batch = std::min(batch, eval_loader_->size());
  }
  std::unique_ptr<nas::MixedSpace> space;  // that of DARTS is the method's to make
  if (is_nb201(config)) space = make_shared_space(config, train_);
  search_ = std::make_unique<nas::DartsSearch>(options_, sizes, kernels::DType::kF32, compile, images_,
                                               std::move(alphas), std::move(space));
  table_ = std::make_unique<TableScore>(config, search_->space().space());
  if (resident) fill_resident(resident_, "train", train_, augment);
  for (const int64_t n : sizes.valid) arch_cost_[n] = {};
  for (const int64_t n : sizes.train) weight_cost_[n] = {};
  for (const int64_t n : sizes.eval) eval_cost_[n] = {};
  count_costs();
  const auto plans = static_cast<int64_t>(sizes.train.size() + sizes.valid.size() + sizes.eval.size());
  ledger.add(nas::Phase::kBuild, {.calls = plans, .seconds = watch.lap()});
  for (const nas::AlphaTensor& a : search_->alpha_tensors()) history_[a.name] = {};
}

std::vector<std::pair<std::string, datasets::Loader*>> SearchTask::loaders() {
  return {{"train", train_loader_.get()}, {"valid", valid_loader_.get()}, {"eval", eval_loader_.get()}};
}

std::vector<std::string> SearchTask::step_phases() const {
  if (search_->method().single_level()) return {"train_w"};
  return {"train_a", "train_w"};
}

void SearchTask::count_costs() {
  for (auto& [n, cost] : arch_cost_) cost = nas::cost_of(search_->arch_plan(n), n);
  if (const nas::SecondOrder* second = search_->second_order())
    for (auto& [n, cost] : arch_cost_) {  // with training batches of the usual size
      const auto plans = second->plans(n, weight_cost_.rbegin()->first);
      cost = nas::cost_of(*plans.front(), n);
      for (size_t i = 1; i < plans.size(); ++i) cost += nas::cost_of(*plans[i], 0);
      cost.calls = 1;
    }
  for (auto& [n, cost] : weight_cost_) cost = nas::cost_of(search_->weight_plan(n), n);
  for (auto& [n, cost] : eval_cost_) cost = nas::cost_of(search_->eval_plan(n), n);
}

void SearchTask::begin_epoch(int epoch) {
  const int stage = search_->stage();
  search_->begin_epoch(epoch);
  if (search_->stage() != stage) count_costs();
  epoch_ = epoch - search_->stage() * options_.epochs;
}

void SearchTask::step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const nas::AlphaMethod& method = search_->method();
  if (search_->second_order() && method.moves_alphas(epoch_)) return step_ahead(scores, ledger);
  if (method.weights_first()) weight_step(scores, ledger);
  if (!method.single_level() && method.moves_alphas(epoch_)) arch_step(scores, ledger);
  if (!method.weights_first()) weight_step(scores, ledger);
}

void SearchTask::arch_step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const datasets::Batch& valid = next(*valid_loader_, ledger);
  queue_.add(search_->begin_arch_step(view(valid)), 0, nas::Phase::kArchStep, arch_cost_.at(valid.size), scores,
             ledger);
}

void SearchTask::weight_step(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const datasets::Batch& train = next(*train_loader_, ledger);
  queue_.add(search_->begin_weight_step(view(train)), scores.size() - 1, nas::Phase::kWeightStep,
             weight_cost_.at(train.size), scores, ledger);
}

void SearchTask::step_ahead(std::vector<nas::Score>& scores, nas::Ledger& ledger) {
  const datasets::Batch& valid = next(*valid_loader_, ledger);
  const datasets::Batch& train = next(*train_loader_, ledger);
  queue_.add(search_->begin_arch_step(view(valid), view(train)), 0, nas::Phase::kArchStep,
             arch_cost_.at(valid.size), scores, ledger);
  queue_.add(search_->begin_weight_step(view(train)), scores.size() - 1, nas::Phase::kWeightStep,
             weight_cost_.at(train.size), scores, ledger);
}

Json SearchTask::state() const {
  return {{"alphas", history_},
          {"random", search_->random().position()},
          {"stage", search_->stage()},
          {"method", search_->method().save()},
          {"eigenvalues", stop_ ? stop_->save() : Json()}};
}

void SearchTask::restore(const Json& state) {
  history_ = state.at("alphas");
  if (!state.contains("random")) return;  // of a run that drew nothing
  search_->random().seek(state.at("random"));
  search_->resume(state.value("stage", 0), state.at("method"));
  count_costs();
  if (stop_) stop_->load(state.at("eigenvalues"));
}

void SearchTask::settle(std::vector<nas::Score>& scores, nas::Ledger& ledger) { queue_.settle(scores, ledger); }

autograd::Choices SearchTask::choices() const {
  autograd::Choices all;
  for (const auto& [n, cost] : arch_cost_) add_choices(all, search_->arch_plan(n));
  if (const nas::SecondOrder* second = search_->second_order())
    for (const auto& [valid, arch_cost] : arch_cost_)
      for (const auto& [train, weight_cost] : weight_cost_)
        for (const autograd::Plan* plan : second->plans(valid, train)) add_choices(all, *plan);
  if (search_->eigenvalue()) add_choices(all, search_->eigenvalue()->plan());
  for (const auto& [n, cost] : weight_cost_) add_choices(all, search_->weight_plan(n));
  for (const auto& [n, cost] : eval_cost_) add_choices(all, search_->eval_plan(n));
  return all;
}

std::optional<nas::Score> SearchTask::evaluate(nas::Ledger& ledger, const GoOn& go_on) {
  const auto score = evaluate_over(*eval_loader_, eval_cost_, ledger, go_on,
                                   [&](const nas::Batch& batch) { return search_->evaluate(batch); });
  if (score && stop_) measure_eigenvalue(ledger);
  return score;
}

void SearchTask::measure_eigenvalue(nas::Ledger& ledger) {
  const auto before = eval_loader_->cursor();
  eval_loader_->seek({0, 0});
  const datasets::Batch& batch = next(*eval_loader_, ledger);
  const nas::Stopwatch watch;
  stop_->add(epoch_, search_->dominant_eigenvalue(view(batch)));
  ledger.add(nas::Phase::kEvaluation, {.seconds = watch.elapsed()});
  eval_loader_->seek(before);
}

void SearchTask::end_epoch(int epoch, RunDirectory& directory) {
  const std::string genotype = search_->architecture();
  directory.genotypes().line(fmt::format("{}\t{}", epoch, genotype));
  directory.log("genotype = " + genotype);
  if (stop_ && !stop_->values().empty() && stop_->values().back().first == epoch)
    directory.log(fmt::format("eigenvalue {:.6g}", stop_->values().back().second));
  for (auto& [table, epochs] : history_) {
    const std::vector<double> alphas = search_->alphas(table);
    epochs.emplace_back(alphas.begin(), alphas.end());
  }
  if (stop_ && stop_->stopped())  // the file's last line is the result
    directory.genotypes().line(fmt::format("{}\t{}", *stop_->stopped(), found()));
}

std::string SearchTask::found() const {
  if (!stop_ || !stop_->stopped()) return search_->architecture();
  std::vector<nas::TableValues> alphas;
  for (const nas::AlphaTensor& a : search_->alpha_tensors()) {
    const Table& then = history_.at(a.name).at(static_cast<size_t>(*stop_->stopped()));
    alphas.emplace_back(then.begin(), then.end());
  }
  return search_->method().decode(search_->space(), alphas);
}

void SearchTask::write_files(RunDirectory& directory) const {
  std::vector<NpzArray> arrays;
  for (const nas::AlphaTensor& a : search_->alpha_tensors()) {
    NpzArray array{a.name, {0}, {}};
    for (int axis = 0; axis < a.shape.rank(); ++axis) array.shape.push_back(a.shape[axis]);
    for (const Table& epoch : history_.at(a.name)) {
      array.values.insert(array.values.end(), epoch.begin(), epoch.end());
      ++array.shape[0];
    }
    arrays.push_back(std::move(array));
  }
  directory.write("alphas.npz", to_npz(arrays));
  if (!stop_) return;
  std::string text = "epoch\teigenvalue\n";
  for (const auto& [epoch, value] : stop_->values()) text += fmt::format("{}\t{:.9g}\n", epoch, value);
  directory.write("eigenvalues.tsv", text);
}

Json SearchTask::data() const {
  return {{"name", train_.name},
          {"train", describe_part(train_)},
          {"weights_half", train_loader_->size()},
          {"alphas_half", valid_loader_->size()}};
}

int64_t SearchTask::parameters() const { return search_->stores().weights.elements(); }

std::string SearchTask::describe() const {
  const nas::NetworkSize size = search_->size();
  nas::Stores& stores = search_->stores();
  std::string text = fmt::format("supernet: {} parameters, {} alphas, {:.3f} MMAC an image\n", size.parameters,
                                 stores.alphas.elements(), size.macs * 1e-6);
  const std::string images =
      fmt::format("data: {} of {}x{}x{}, {} classes; {} images train", train_.name, train_.height, train_.width,
                  train_.channels, train_.classes, train_loader_->size());
  text += search_->method().single_level()
              ? fmt::format("{} weights and alphas, {} are for evaluation\n", images, eval_loader_->size())
              : fmt::format("{} the weights, {} the alphas\n", images, valid_loader_->size());
  if (const int stages = search_->method().stages(); stages > 1)
    text += fmt::format("stages: {} of {} epochs, this is number {}\n", stages, options_.epochs, search_->stage());
  text += fmt::format("steps: {} an epoch, {} in all\n", steps_per_epoch(), steps_per_epoch() * epochs());
  std::vector<std::pair<std::string, const autograd::Plan*>> plans;
  if (!arch_cost_.empty()) plans.push_back({"arch_step", &search_->arch_plan(arch_cost_.rbegin()->first)});
  plans.push_back({"weight_step", &search_->weight_plan(weight_cost_.rbegin()->first)});
  plans.push_back({"evaluation", &search_->eval_plan(eval_cost_.rbegin()->first)});
  return text + describe_memory(stores, search_->arena_bytes(), train_.pixels.size(), plans);
}

std::string SearchTask::report(RunDirectory& directory, const Evaluations& evaluations, bool finished) {
  const std::string architecture = found();
  if (search_->space().space().name() == "darts") draw(directory, nas::parse_genotype(architecture));
  std::string text = fmt::format("genotype = {}\n", architecture);
  if (stop_ && stop_->stopped())
    text +=
        fmt::format("stopped after epoch {}: the dominant eigenvalue has risen; the genotype is that of epoch {}\n",
                    stop_->values().back().first, *stop_->stopped());
  if (evaluations.last_epoch >= 0)
    text += fmt::format("supernet validation accuracy {:.2f} % ({} images, after epoch {})\n",
                        100 * evaluations.last.accuracy(), evaluations.last.images, evaluations.last_epoch + 1);
  text += describe_skips(search_->space(), architecture) +
          search_->method().remarks(search_->space(), search_->alphas());
  if (*table_)
    text += table_->report(search_->space(), search_->stores(), search_->space().space().parse(architecture),
                           *eval_loader_, images_, compile_);
  if (!finished) text += "not finished: the genotype is that of the alphas so far\n";
  return text;
}

}  // namespace mixop::cli
