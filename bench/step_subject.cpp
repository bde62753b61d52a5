#include "bench/step_subject.h"

#include "nas/genotypes_published.h"
#include "nas/sharing/enas_micro.h"

namespace mixop::bench {

Subject::Subject(const SubjectOptions& options, const autograd::CompileOptions& compile) : options_(options) {
  const bool enas = options.network == kEnas, derived = !options.network.empty() && !enas;
  const nas::EnasMicroOptions child;
  if (!options_.channels) options_.channels = enas ? child.channels : derived ? 36 : 16;
  if (!options_.cells) options_.cells = enas ? child.layers : derived ? 20 : 8;
  if (!options_.batch) options_.batch = enas ? 160 : derived ? 96 : 64;
  const kernels::Shape image{options_.image, options_.image, options_.image_channels};
  data_ = std::make_unique<StepData>(options_.batch, image, options_.resident);
  if (enas) make_enas(compile);
  else if (derived) make_training(compile);
  else make_search(compile);
  data_->fill();
  batch_ = data_->batch();
  const std::string name = enas                     ? kEnas
                           : !derived               ? "supernet"
                           : genotype_.name.empty() ? "network"
                                                    : genotype_.name;
  title_ = kernels::text(name, " C=", options_.channels, " cells=", options_.cells,
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

void Subject::make_enas(const autograd::CompileOptions& compile) {
  nas::EnasMicroOptions child;
  child.layers = options_.cells;
  child.channels = options_.channels;
  child.height = child.width = options_.image;
  child.image_channels = options_.image_channels;
  child.check();
  nas::TrainOptions o;
  o.net.height = o.net.width = options_.image;
  o.net.image_channels = options_.image_channels;
  o.sgd = {.momentum = 0.9, .weight_decay = 2e-4, .nesterov = true};
  o.drop_path_prob = 0;
  o.build = [child, arch = options_.alone](nas::Graph& g, nas::Value x, nas::Stores& stores, bool training) {
    return arch.empty() ? nas::build_enas_micro_child(g, x, stores, child, training)
                        : nas::build_enas_micro_child(g, x, stores, child, arch, training);
  };
  const std::vector<int64_t> sizes{options_.batch}, none;
  const bool device = compile.device == kernels::Device::kCuda;
  training_ = std::make_unique<nas::NetworkTraining>(o, sizes, device ? sizes : none, kernels::DType::kF32, compile,
                                                     data_->source(), data_->source());
  parameters_ = nas::measure_network(o.build, options_.image, options_.image, options_.image_channels).parameters;
  const nas::EnasMicroSpace space;
  nas::Random random(1);
  if (options_.alone.empty())
    for (int i = 0; i < std::max(options_.archs, 1); ++i)
      archs_.push_back(options_.archs ? space.sample(random) : space.parse(nas::EnasMicroSpace::kPublished));
  halves_ = {{"weight", &training_->train_plan(), [this] {
                if (!archs_.empty()) training_->choose(nas::enas_micro_choices(archs_[next_++ % archs_.size()]));
                return training_->begin_step(batch_);
              }}};
}

void Subject::evaluate() {
  if (search_) search_->evaluate(batch_);
  else training_->evaluate(batch_);
}

std::vector<std::string> Subject::peer_arguments() const {
  if (search_) return {};
  if (samples()) {
    std::string texts;
    for (const nas::Arch& arch : archs_)
      texts += kernels::text(texts.empty() ? "" : "|", nas::EnasMicroSpace().format(arch));
    return {"--archs", texts};
  }
  std::vector<std::string> words{"--genotype", nas::format_json(genotype_), "--drop-path",
                                 kernels::text(options_.drop_path)};
  if (options_.auxiliary) words.emplace_back("--auxiliary");
  return words;
}

}  // namespace mixop::bench
