// What step_bench times: a search step of the supernet, a training step of a derived network, or one of the weights
// that architectures of ENAS share.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bench/step_data.h"
#include "bench/traffic_model.h"
#include "nas/search/darts.h"
#include "nas/train.h"

namespace mixop::bench {

constexpr const char* kEnas = "enas-micro";

struct SubjectOptions {
  int64_t channels = 0, batch = 0, image = 32, image_channels = 3;  ///< 0: those of the paper
  int cells = 0;
  std::string network;  ///< name or text of a genotype, or kEnas; empty: the supernet
  int archs = 0;        ///< of kEnas: so many drawn architectures in turn; 0: the published one
  nas::Arch alone{};    ///< of kEnas: a plan of this architecture in place of one of all
  bool auxiliary = false;
  double drop_path = 0.2;  ///< probability in force
  bool resident = false;   ///< on a device: the images lie there
};

/// A step that can be repeated: two halves (arch, weight) of a search, or one (weight).
class Subject {
 public:
  struct Half {
    const char* name;
    const autograd::Plan* plan;
    std::function<nas::PendingScore()> begin;
  };

  Subject(const SubjectOptions& options, const autograd::CompileOptions& compile);
  Subject(const Subject&) = delete;
  Subject& operator=(const Subject&) = delete;

  const SubjectOptions& options() const { return options_; }
  const std::vector<Half>& halves() const { return halves_; }
  const std::string& title() const { return title_; }
  /// Every step is that of another architecture, or can be.
  bool samples() const { return !archs_.empty(); }
  const std::vector<nas::Arch>& archs() const { return archs_; }
  /// The next step is that of archs()[number].
  void begin_with(size_t number) { next_ = number; }
  bool is_search() const { return search_ != nullptr; }
  bool on_device() const { return halves_[0].plan->device() == kernels::Device::kCuda; }
  /// Of the weights, without an auxiliary head.
  int64_t parameters() const { return parameters_; }
  /// Images that a step takes, over all halves.
  int64_t images() const { return options_.batch * static_cast<int64_t>(halves_.size()); }
  size_t arena_bytes() const { return search_ ? search_->arena_bytes() : training_->arena_bytes(); }
  /// Waits for the loss of a batch with running statistics; on a device only.
  void evaluate();
  /// The model's traffic of one half; nothing for a derived network.
  Traffic model() const { return search_ ? model_traffic(search_->options().net, options_.batch) : Traffic{}; }
  /// What the peer's script is told beside the sizes.
  std::vector<std::string> peer_arguments() const;

 private:
  void make_search(const autograd::CompileOptions& compile);
  void make_training(const autograd::CompileOptions& compile);
  void make_enas(const autograd::CompileOptions& compile);

  SubjectOptions options_;
  std::string title_;
  int64_t parameters_ = 0;
  std::unique_ptr<StepData> data_;
  std::unique_ptr<nas::DartsSearch> search_;
  std::unique_ptr<nas::NetworkTraining> training_;
  nas::Genotype genotype_;
  std::vector<nas::Arch> archs_;
  size_t next_ = 0;
  nas::Batch batch_;
  std::vector<Half> halves_;
};

}  // namespace mixop::bench
