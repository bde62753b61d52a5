#include "nas/cli/alpha_run.h"

#include <algorithm>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/keys.h"
#include "nas/cli/npz.h"
#include "nas/cli/search_task.h"
#include "nas/cli/shared_space.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

/// Any images do where only the shape of the tables counts.
datasets::Dataset some_data() {
  datasets::Dataset data;
  data.height = data.width = 32;
  data.channels = 3;
  data.classes = 10;
  return data;
}

Json read_run(const fs::path& path) {
  const fs::path file = path / "run.json";
  MIXOP_CHECK(fs::is_regular_file(file), path.string(), ": has no run.json, so it is not a run directory");
  Json run = Json::parse(autograd::read_file(file), nullptr, false);
  MIXOP_CHECK(run.is_object() && run.contains("config"), file.string(), ": damaged: not the JSON of a run");
  return run;
}

/// The method whose configuration it is.
const nas::AlphaMethodInfo& method_of(const Json& run, const fs::path& path) {
  const Json search = run.at("config").value("search", Json::object());
  const std::string algo = search.value("algo", "");
  for (const nas::AlphaMethodInfo* info : nas::alpha_methods())
    if (algo_name(*info) == algo) return *info;
  kernels::fail(path.string(), ": is a run of `mixop ", run.value("command", "?"), "`",
                algo.empty() ? "" : " (" + algo + ")",
                "; derive takes one of a search of alphas, as of `mixop search darts`");
}

}  // namespace

AlphaRun::AlphaRun(const fs::path& path) : path_(path) {
  const Json run = read_run(path_);
  const nas::AlphaMethodInfo& info = method_of(run, path_);
  config_ = std::make_unique<Config>(search_keys(info));
  config_->resolve(&run.at("config"));
  epochs_of_stage_ = static_cast<int>(config_->integer("search.epochs"));
  stages_.push_back(make_stage(info, 0));
  read_history(stages_.front());
  const auto all = static_cast<size_t>(stages_.front().method->stages());
  while (stages_.size() < all && static_cast<int>(stages_.size()) * epochs_of_stage_ < epochs())
    stages_.push_back(make_stage(info, stages_.size()));
}

AlphaRun::Stage AlphaRun::make_stage(const nas::AlphaMethodInfo& info, size_t number) const {
  Stage stage{info.make(settings_of(info.settings, *config_)), nullptr};
  for (size_t before = 0; before < number; ++before)
    stage.method->next_stage(*stages_[before].space, alphas(static_cast<int>(before + 1) * epochs_of_stage_ - 1));
  stage.space = make_space(*stage.method, some_data());
  return stage;
}

std::unique_ptr<nas::MixedSpace> AlphaRun::make_space(const nas::AlphaMethod& method,
                                                      const datasets::Dataset& data) const {
  if (is_nb201(*config_)) return make_shared_space(*config_, data);
  nas::SupernetOptions net = search_options(*config_, data).net;
  net.lowering = nas::Lowering::kReference;  // as sampled paths need it; the parameters are the same
  return method.make_space(net);
}

void AlphaRun::read_history(const Stage& first) {
  const fs::path file = path_ / "alphas.npz";
  MIXOP_CHECK(fs::is_regular_file(file), path_.string(),
              ": has no alphas.npz, the history of its alphas; it comes with the first checkpoint");
  const std::vector<NpzArray> arrays = from_npz(autograd::read_file(file), file.string());
  for (const nas::AlphaTensor& tensor : first.method->alphas(*first.space)) {
    const auto array =
        std::find_if(arrays.begin(), arrays.end(), [&](const NpzArray& a) { return a.name == tensor.name; });
    MIXOP_CHECK(array != arrays.end() && !array->shape.empty(), file.string(), ": has no array ", tensor.name);
    const auto size = static_cast<size_t>(tensor.shape.elements()), epochs = static_cast<size_t>(array->shape[0]);
    MIXOP_CHECK(array->values.size() == epochs * size, file.string(), ": ", tensor.name, " has ",
                array->values.size(), " values for ", epochs, " epochs of ", size);
    if (history_.empty()) history_.resize(epochs);
    MIXOP_CHECK(history_.size() == epochs, file.string(), ": its arrays disagree on the number of epochs");
    for (size_t e = 0; e < epochs; ++e) {
      const auto at = array->values.begin() + static_cast<std::ptrdiff_t>(e * size);
      history_[e].emplace_back(at, at + static_cast<std::ptrdiff_t>(size));
    }
  }
  MIXOP_CHECK(!history_.empty(), path_.string(), ": its history has no epoch yet");
}

const std::vector<nas::TableValues>& AlphaRun::alphas(int epoch) const {
  MIXOP_CHECK(epoch >= 0 && epoch < epochs(), "--epoch ", epoch, ": the history of ", path_.string(),
              " has epochs 0 to ", epochs() - 1);
  return history_[static_cast<size_t>(epoch)];
}

std::vector<nas::StrengthHistory> AlphaRun::strengths() const {
  std::vector<nas::StrengthHistory> all;
  for (const nas::MixTable& table : space(0).tables()) all.push_back({table, {}});
  for (int e = 0; e < epochs(); ++e) {
    std::vector<nas::TableValues> tables = method(e).strengths(space(e), alphas(e));
    for (size_t t = 0; t < all.size(); ++t) all[t].epochs.push_back(std::move(tables.at(t)));
  }
  return all;
}

}  // namespace mixop::cli
