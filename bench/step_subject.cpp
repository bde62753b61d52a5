#include "bench/step_subject.h"

#include "nas/genotypes_published.h"

namespace mixop::bench {

Subject::Subject(const SubjectOptions& options, const autograd::CompileOptions& compile) : options_(options) {
  const bool derived = !options.network.empty();
  if (!options_.channels) options_.channels = derived ? 36 : 16;
  if (!options_.cells) options_.cells = derived ? 20 : 8;
  if (!options_.batch) options_.batch = derived ? 96 : 64;
  const kernels::Shape image{options_.image, options_.image, options_.image_channels};
  data_ = std::make_unique<StepData>(options_.batch, image, options_.resident);
  if (derived) make_training(compile);
  else make_search(compile);
  data_->fill();
  batch_ = data_->batch();
  title_ = kernels::text(derived ? genotype_.name.empty() ? "network" : genotype_.name : "supernet",
                         " C=", options_.channels, " cells=", options_.cells,
                         options_.auxiliary ? " auxiliary" : "", " image ", options_.image, "x", options_.image,
                         "x", options_.image_channels, " batch ", options_.batch);
}

void Subject::make_search(const autograd::CompileOptions& compile) {
  nas::DartsOptions o;
  o.net = {.channels = options_.channels,
           .cells = options_.cells,
           .height = options_.image,
           .width = options_.image,
           .image_channels = options_.image_channels};
  const std::vector<int64_t> sizes{options_.batch}, none;
  const bool device = compile.device == kernels::Device::kCuda;
  search_ = std::make_unique<nas::DartsSearch>(o, nas::DartsSearch::BatchSizes{sizes, sizes, device ? sizes : none},
                                               kernels::DType::kF32, compile, data_->source());
  parameters_ = search_->stores().weights.elements();
  halves_ = {{"arch", &search_->arch_plan(), [this] { return search_->begin_arch_step(batch_); }},
             {"weight", &search_->weight_plan(), [this] { return search_->begin_weight_step(batch_); }}};
}

void Subject::make_training(const autograd::CompileOptions& compile) {
  genotype_ = nas::load_genotype(options_.network);
  nas::TrainOptions o;
  o.net.genotype = genotype_;
  o.net.channels = options_.channels;
  o.net.cells = options_.cells;
  o.net.height = o.net.width = options_.image;
  o.net.image_channels = options_.image_channels;
  o.net.auxiliary = options_.auxiliary;
  o.drop_path_prob = options_.drop_path;
  const std::vector<int64_t> sizes{options_.batch}, none;
  const bool device = compile.device == kernels::Device::kCuda;
  training_ = std::make_unique<nas::NetworkTraining>(o, sizes, device ? sizes : none, kernels::DType::kF32, compile,
                                                     data_->source(), data_->source());
  // As in the last epoch: before, fewer samples are dropped.
  if (o.drop_path_prob > 0) training_->stores().state.set("drop_path.keep", 1 - o.drop_path_prob);
  parameters_ = nas::measure_network(o.net).parameters;
  halves_ = {{"weight", &training_->train_plan(), [this] { return training_->begin_step(batch_); }}};
}

void Subject::evaluate() {
  if (search_) search_->evaluate(batch_);
  else training_->evaluate(batch_);
}

std::vector<std::string> Subject::peer_arguments() const {
  if (search_) return {};
  std::vector<std::string> words{"--genotype", nas::format_json(genotype_), "--drop-path",
                                 kernels::text(options_.drop_path)};
  if (options_.auxiliary) words.emplace_back("--auxiliary");
  return words;
}

}  // namespace mixop::bench
