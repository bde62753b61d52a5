#include "nas/cli/alpha_run.h"

#include <algorithm>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/keys.h"
#include "nas/cli/npz.h"
#include "nas/cli/search_task.h"

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
  method_ = info.make(settings_of(info.settings, *config_));
  space_ = method_->make_space(net(some_data()));
  read_history();
}

nas::SupernetOptions AlphaRun::net(const datasets::Dataset& data) const {
  return search_options(*config_, data).net;
}

void AlphaRun::read_history() {
  const fs::path file = path_ / "alphas.npz";
  MIXOP_CHECK(fs::is_regular_file(file), path_.string(),
              ": has no alphas.npz, the history of its alphas; it comes with the first checkpoint");
  const std::vector<NpzArray> arrays = from_npz(autograd::read_file(file), file.string());
  for (const nas::AlphaTensor& tensor : method_->alphas(*space_)) {
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
  for (const nas::MixTable& table : space_->tables()) all.push_back({table, {}});
  for (const auto& alphas : history_) {
    std::vector<nas::TableValues> tables = method_->strengths(*space_, alphas);
    for (size_t t = 0; t < all.size(); ++t) all[t].epochs.push_back(std::move(tables.at(t)));
  }
  return all;
}

}  // namespace mixop::cli
