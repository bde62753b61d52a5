#include "nas/cli/transfer.h"

#include <fmt/format.h>

#include <filesystem>

#include "autograd/checkpoint.h"
#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/checkpoint_store.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr char kWeights[] = "weights.safetensors";

/// The checkpoint that is meant.
fs::path checkpoint_of(const fs::path& from) {
  if (fs::is_regular_file(from / kWeights)) return from;
  const fs::path latest = from / "ckpt" / "latest";
  MIXOP_CHECK(fs::is_regular_file(latest / kWeights), "--from ", from.string(),
              ": is neither a run with a checkpoint nor a checkpoint");
  return latest;
}

/// run.json of the run of a checkpoint RUN/ckpt/NNNNNN; null when it is not there.
Json run_of(const fs::path& from) {
  const fs::path run = fs::weakly_canonical(checkpoint_of(from)).parent_path().parent_path() / "run.json";
  if (!fs::is_regular_file(run)) return nullptr;
  Json j = Json::parse(autograd::read_file(run), nullptr, false);
  MIXOP_CHECK(j.is_object() && j.contains("config"), run.string(), ": damaged: not the JSON of a run");
  MIXOP_CHECK(j.value("command", "") == "train", "--from ", from.string(), ": is of a run of `mixop ",
              j.value("command", "?"), "`; weights are taken from one of `mixop train`");
  return j;
}

/// What may differ between networks of one architecture.
bool belongs_to_data(const std::string& name) {
  for (const char* part : {"stem", "classifier", "auxiliary", "drop_path.keep", "counter"})
    if (name.find(part) != std::string::npos) return true;
  return false;
}

std::string list(const char* what, const std::vector<std::string>& names) {
  constexpr size_t kMost = 8;
  if (names.empty()) return "";
  std::string text = fmt::format("; {}:", what);
  for (size_t i = 0; i < std::min(kMost, names.size()); ++i) text += " " + names[i];
  if (names.size() > kMost) text += fmt::format(" and {} more", names.size() - kMost);
  return text;
}

}  // namespace

void suggest_network(const std::string& from, Config& config) {
  const Json run = run_of(from);
  if (run.is_null()) return;
  const Json& train = run.at("config").at("train");
  Json network = Json::object();
  for (const char* key : {"space", "arch", "layers", "init_channels", "imagenet", "drop_path_prob"})
    if (train.contains(key)) network["train"][key] = train.at(key);
  config.suggest(network);
}

std::string transfer_weights(const std::string& from, nas::Stores& stores) {
  run_of(from);  // of another command?
  const Checkpoint saved = read_checkpoint(checkpoint_of(from));
  const std::string place = (saved.path / kWeights).string();
  const autograd::Inherited found =
      autograd::inherit_safetensors(saved.file(kWeights), place, {&stores.weights, &stores.state});
  for (const auto* names : {&found.left, &found.unused})
    for (const std::string& name : *names)
      MIXOP_CHECK(belongs_to_data(name), "--from ", from,
                  ": holds another network: ", names == &found.left ? "it lacks tensor '" : "here is no tensor '",
                  name, "' of that shape; give the --arch, --space, --layers and --init-channels of that run");
  if (stores.state.find("counter") >= 0) stores.state.set("counter", 0);  // masks start anew
  return fmt::format("weights: {} tensors taken from {}{}{}\n", found.taken.size(), from,
                     list("begin anew", found.left), list("not used", found.unused));
}

}  // namespace mixop::cli
