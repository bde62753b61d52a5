#include "nas/cli/train_options.h"

#include <filesystem>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/run_data.h"
#include "nas/genotypes_published.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/space/spaces.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr char kEnasMicro[] = "enas-micro", kEnasMacro[] = "enas-macro";

/// The last line that is not empty, behind its last tab: files of architectures number their lines.
std::string last_line(const fs::path& file) {
  std::string text = autograd::read_file(file);
  text.erase(text.find_last_not_of(" \t\r\n") + 1);
  MIXOP_CHECK(!text.empty(), file.string(), ": is empty, an architecture was expected");
  return text.substr(text.find_last_of("\n\t") + 1);
}

/// What `@spec` names: a file, or the file of a run that holds its architecture.
std::string read_reference(const std::string& space, const std::string& path) {
  const fs::path run = fs::path(path) / "run.json";
  if (fs::is_regular_file(run)) {
    const Json j = Json::parse(autograd::read_file(run), nullptr, false);
    if (j.is_object() && j.value("command", "") == "train") return j.at("config").at("train").at("arch");
  }
  fs::path file = path;
  if (fs::is_directory(path)) {  // a search that chose among its last architectures has put down which
    file = fs::path(path) / "arch.txt";
    if (!fs::exists(file)) file = fs::path(path) / "genotypes.txt";
  }
  MIXOP_CHECK(fs::is_regular_file(file), "--arch @", path, ": is neither a file nor a run with an architecture");
  if (space == kCells) return "@" + file.string();
  return last_line(file);
}

nas::LrSchedule schedule_of(const std::string& name) {
  return name == "step"       ? nas::LrSchedule::kStep
         : name == "restarts" ? nas::LrSchedule::kRestarts
                              : nas::LrSchedule::kCosine;
}

/// Which options a network knows.
struct Abilities {
  bool imagenet = false, auxiliary = false, drop_path = false, dropout = false;
};

Abilities abilities_of(const std::string& space) {
  if (space == kCells) return {.imagenet = true, .auxiliary = true, .drop_path = true};
  if (space == kEnasMicro) return {.auxiliary = true, .drop_path = true, .dropout = true};
  return {.dropout = space.starts_with(kEnasMacro)};
}

void check_abilities(const Config& c, const std::string& space) {
  const Abilities can = abilities_of(space);
  const auto refuse = [&](bool asked, bool able, const char* key) {
    if (asked && !able)
      throw UsageError(kernels::text(key, ": networks of --space ", space, " have no such thing; leave it out"));
  };
  refuse(c.on("train.imagenet"), can.imagenet, "train.imagenet");
  refuse(c.on("train.auxiliary"), can.auxiliary, "train.auxiliary");
  refuse(c.real("train.drop_path_prob") > 0, can.drop_path, "train.drop_path_prob");
  refuse(c.real("train.dropout") > 0, can.dropout, "train.dropout");
}

/// The network of an architecture of a space; those of ENAS are built with all that their recipes ask for.
nas::NetworkBuilder builder_of(const Config& c, const std::string& space_name, const nas::TrainOptions& o) {
  const std::shared_ptr<const nas::Space> space = nas::find_space(space_name);
  const nas::Arch arch = space->parse(c.text("train.arch"));
  const nas::NetworkOptions& net = o.net;
  const double keep = 1 - c.real("train.dropout");
  if (space_name == kEnasMicro) {
    nas::EnasMicroOptions e{.layers = net.cells, .channels = net.channels, .classes = net.classes};
    e.height = net.height;
    e.width = net.width;
    e.image_channels = net.image_channels;
    e.auxiliary = net.auxiliary;
    e.keep = keep;
    e.drop_path = o.drop_path_prob > 0;
    e.schedule = {o.drop_path_prob, o.scheduled_steps};
    e.seed = o.seed;
    return [e, arch](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
      return nas::build_enas_micro_network(g, images, stores, e, arch, training);
    };
  }
  if (const auto* macro = dynamic_cast<const nas::EnasMacroSpace*>(space.get())) {
    nas::EnasMacroOptions e{.layers = macro->layers(), .channels = net.channels, .classes = net.classes};
    e.height = net.height;
    e.width = net.width;
    e.image_channels = net.image_channels;
    e.keep = keep;
    e.seed = o.seed;
    return [e, arch](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
      return nas::build_enas_macro_network(g, images, stores, e, arch, training);
    };
  }
  const nas::NetworkScale scale = {net.channels, net.cells, net.classes, net.height, net.width, net.image_channels};
  return [space, arch, scale](nas::Graph& g, nas::Value images, nas::Stores& stores, bool training) {
    return space->build(g, images, stores, arch, scale, training);
  };
}

}  // namespace

std::string read_arch(const std::string& space, const std::string& spec) {
  const std::string text = spec.starts_with('@') ? read_reference(space, spec.substr(1)) : spec;
  if (space == kCells) return nas::format_genotype(nas::load_genotype(text));
  const auto s = nas::find_space(space);
  return s->format(s->parse(text));
}

nas::TrainOptions train_options(const Config& c, const datasets::Dataset& data, int64_t steps_per_epoch) {
  const std::string& space_name = c.text("train.space");
  const datasets::Augment size = test_size(c);
  nas::TrainOptions o;
  o.net.channels = c.integer("train.init_channels");
  o.net.cells = static_cast<int>(c.integer("train.layers"));
  o.net.auxiliary = c.on("train.auxiliary");
  o.net.imagenet_stem = c.on("train.imagenet");
  o.net.classes = data.classes;
  o.net.height = size.out_height(data.height);
  o.net.width = size.out_width(data.width);
  o.net.image_channels = data.channels;
  o.epochs = static_cast<int>(c.integer("train.epochs"));
  o.seed = static_cast<uint64_t>(c.integer("train.seed"));
  o.lr = c.real("weights.lr");
  o.lr_min = c.real("weights.lr_min");
  o.lr_schedule = schedule_of(c.text("weights.lr_schedule"));
  o.lr_gamma = c.real("weights.lr_gamma");
  o.lr_period = static_cast<int>(c.integer("weights.lr_period"));
  o.sgd.momentum = c.real("weights.momentum");
  o.sgd.weight_decay = c.real("weights.weight_decay");
  o.sgd.clip = c.real("weights.grad_clip");
  o.sgd.nesterov = c.on("weights.nesterov");
  o.auxiliary_weight = c.real("train.auxiliary_weight");
  o.label_smoothing = c.real("train.label_smoothing");
  o.drop_path_prob = c.real("train.drop_path_prob");
  if (c.text("train.drop_path_schedule") == "scheduled") o.scheduled_steps = o.epochs * steps_per_epoch;
  check_abilities(c, space_name);
  if (space_name != kCells) {
    o.build = builder_of(c, space_name, o);
    return o;
  }
  o.net.genotype = nas::parse_genotype(c.text("train.arch"));
  o.net.check();
  return o;
}

nas::NetworkSize measure(const nas::TrainOptions& o) {
  return o.build ? nas::measure_network(o.build, o.net.height, o.net.width, o.net.image_channels)
                 : nas::measure_network(o.net);
}

datasets::Augment test_size(const Config& config) {
  datasets::Augment size;
  size.height = size.width = static_cast<int>(config.integer("data.image_size"));
  return size;
}

Augments augments(Config& config, const datasets::Dataset& train) {
  const bool resized = config.on("data.resized_crop");
  if (resized) {
    config.fill("data.crop", false);
    if (config.on("data.crop")) throw UsageError("--crop and --resized-crop: an image is cropped in one way");
  }
  fill_augment(config);
  Augments a{training_augment(config, train), datasets::normalisation_of(train)};
  a.training.resized_crop = resized;
  const double jitter = config.real("data.jitter");
  a.training.jitter = {jitter, jitter, jitter, config.real("data.hue_jitter")};
  for (datasets::Augment* both : {&a.training, &a.test}) both->height = both->width = test_size(config).height;
  return a;
}

}  // namespace mixop::cli
