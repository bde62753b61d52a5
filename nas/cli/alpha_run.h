// What a finished or broken-off run of a search of alphas has left: its configuration and the history of its
// alphas.
#pragma once

#include <algorithm>
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
  /// As they were in that epoch: some methods search in stages with fewer and fewer candidates.
  const nas::AlphaMethod& method(int epoch) const { return *stages_[stage(epoch)].method; }
  const nas::MixedSpace& space(int epoch) const { return *stages_[stage(epoch)].space; }
  /// The supernet of that epoch for images of that data, whose paths can be sampled.
  std::unique_ptr<nas::MixedSpace> make_space(int epoch, const datasets::Dataset& data) const {
    return make_space(method(epoch), data);
  }
  /// Counted from 0.
  size_t stage(int epoch) const {
    return std::min(static_cast<size_t>(epoch / epochs_of_stage_), stages_.size() - 1);
  }

  int epochs() const { return static_cast<int>(history_.size()); }
  /// After that epoch, counted from 0, in the order of AlphaMethod::alphas. Throws mixop::Error when there is none.
  const std::vector<nas::TableValues>& alphas(int epoch) const;
  std::string architecture(int epoch) const { return method(epoch).decode(space(epoch), alphas(epoch)); }
  /// By table of the space.
  std::vector<nas::StrengthHistory> strengths() const;

 private:
  struct Stage {
    std::unique_ptr<nas::AlphaMethod> method;
    std::unique_ptr<nas::MixedSpace> space;
  };
  std::unique_ptr<nas::MixedSpace> make_space(const nas::AlphaMethod& method, const datasets::Dataset& data) const;
  /// What follows from the alphas at the ends of the stages before it.
  Stage make_stage(const nas::AlphaMethodInfo& info, size_t number) const;
  void read_history(const Stage& first);

  std::filesystem::path path_;
  std::unique_ptr<Config> config_;
  int epochs_of_stage_ = 1;
  std::vector<Stage> stages_;                           // those that have begun
  std::vector<std::vector<nas::TableValues>> history_;  // by epoch
};

}  // namespace mixop::cli
