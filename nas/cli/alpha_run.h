// What a finished or broken-off run of a search of alphas has left: its configuration and the history of its
// alphas.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "nas/alpha_plots.h"
#include "nas/cli/config.h"
#include "nas/search/alpha_method.h"
#include "nas/search/darts.h"

namespace mixop::cli {

class AlphaRun {
 public:
  /// Throws mixop::Error naming the directory when it is no run, a run of something else, or has no history yet.
  explicit AlphaRun(const std::filesystem::path& path);

  const std::filesystem::path& path() const { return path_; }
  const Config& config() const { return *config_; }
  const nas::AlphaMethod& method() const { return *method_; }
  const nas::MixedSpace& space() const { return *space_; }
  /// The run's supernet for images of that data.
  nas::SupernetOptions net(const datasets::Dataset& data) const;

  int epochs() const { return static_cast<int>(history_.size()); }
  /// After that epoch, counted from 0, in the order of AlphaMethod::alphas. Throws mixop::Error when there is none.
  const std::vector<nas::TableValues>& alphas(int epoch) const;
  std::string architecture(int epoch) const { return method_->decode(*space_, alphas(epoch)); }
  /// By table of the space.
  std::vector<nas::StrengthHistory> strengths() const;

 private:
  void read_history();

  std::filesystem::path path_;
  std::unique_ptr<Config> config_;
  std::unique_ptr<nas::AlphaMethod> method_;
  std::unique_ptr<nas::MixedSpace> space_;
  std::vector<std::vector<nas::TableValues>> history_;  // by epoch
};

}  // namespace mixop::cli
