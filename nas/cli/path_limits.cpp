#include "nas/cli/path_limits.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "kernels/core/check.h"
#include "nas/cli/shared_space.h"
#include "nas/ledger.h"

namespace mixop::cli {
namespace {

nas::NetworkSize size_of(const Config& config, const datasets::Dataset& data, const nas::Arch& arch) {
  return nas::measure_network(standalone_network(config, data, arch), data.height, data.width, data.channels);
}

}  // namespace

bool PathLimits::any() const {
  return config_.real("select.max_mmacs") > 0 || config_.real("select.max_parameters") > 0 ||
         config_.real("select.max_latency") > 0;
}

void PathLimits::check(const nas::Space& space) {
  constexpr int kDraws = 1000;
  nas::Random random(0);
  for (int i = 0; i < kDraws; ++i)
    if (admits(space.sample(random))) return;
  kernels::fail("search: none of ", kDraws, " random architectures keeps within the limits; raise --max-mmacs, ",
                "--max-parameters or --max-latency");
}

bool PathLimits::admits(const nas::Arch& arch) {
  const double macs = config_.real("select.max_mmacs"), parameters = config_.real("select.max_parameters"),
               latency = config_.real("select.max_latency");
  if (macs > 0 || parameters > 0) {
    const nas::NetworkSize size = size_of(config_, data_, arch);
    if (macs > 0 && size.macs * 1e-6 > macs) return false;
    if (parameters > 0 && static_cast<double>(size.parameters) > parameters) return false;
  }
  return latency == 0 || milliseconds(arch) <= latency;
}

double PathLimits::milliseconds(const nas::Arch& arch) {
  if (const auto known = measured_.find(arch); known != measured_.end()) return known->second;
  nas::Stores stores(kernels::DType::kF32, 0);
  autograd::Graph g;
  const autograd::Value images = g.input("images", {1, data_.height, data_.width, data_.channels});
  const autograd::Value logits = standalone_network(config_, data_, arch)(g, images, stores, false).logits;
  autograd::Plan plan(g, {logits}, nullptr, {.threads = 1});
  for (nas::TensorStore* store : stores.all()) store->bind();
  plan.run();
  std::array<double, 5> seconds{};
  for (double& s : seconds) {
    const nas::Stopwatch watch;
    plan.run();
    s = watch.elapsed();
  }
  std::nth_element(seconds.begin(), seconds.begin() + 2, seconds.end());
  return measured_[arch] = 1e3 * seconds[2];
}

std::string PathLimits::describe(const nas::Arch& arch) {
  const nas::NetworkSize size = size_of(config_, data_, arch);
  std::string text = fmt::format("{:.3f} MMAC an image, {} parameters", size.macs * 1e-6, size.parameters);
  if (config_.real("select.max_latency") > 0) text += fmt::format(", {:.3f} ms an image", milliseconds(arch));
  return text;
}

Json PathLimits::save() const {
  Json all = Json::array();
  for (const auto& [arch, ms] : measured_) all.push_back({arch, ms});
  return all;
}

void PathLimits::load(const Json& state) {
  measured_.clear();
  for (const Json& entry : state) measured_[entry.at(0).get<nas::Arch>()] = entry.at(1);
}

}  // namespace mixop::cli
