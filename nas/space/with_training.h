// Any space that is built step by step, and with it how the network is trained: learning rate, optimiser and
// augmentation as three further decisions, before those of the space itself.
#pragma once

#include <array>

#include "nas/space/space.h"

namespace mixop::nas {

class WithTraining final : public Space {
 public:
  static constexpr std::array<std::string_view, 6> kRates = {"0.001", "0.003", "0.01", "0.03", "0.1", "0.3"};
  static constexpr std::array<std::string_view, 3> kOptimizers = {"sgd", "adam", "adamw"};
  static constexpr std::array<std::string_view, 5> kAugmentations = {"none", "flip", "crop", "flip+crop",
                                                                     "flip+crop+cutout"};

  /// Throws mixop::Error when the space is not built step by step.
  explicit WithTraining(std::unique_ptr<Space> space);

  std::string name() const override { return space_->name() + "+training"; }
  std::string describe() const override;
  /// "lr=0.1 optimizer=sgd augmentation=flip+crop; ARCHITECTURE".
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  bool next(const Arch& prefix, Decision& decision) const override;
  std::vector<int> kinds() const override;
  std::vector<int32_t> state(const Arch& prefix) const override;
  /// Of the three as of others; with their share among all decisions one of the three changes, else the
  /// architecture in the way of its space.
  Child mutate(const Arch& arch, Random& random) const override;
  Arch sample(Random& random) const override;
  Arch redraw(const Arch& arch, double rate, Random& random) const override;
  Arch crossover(const Arch& a, const Arch& b, Random& random) const override;
  std::vector<Arch> neighbours(const Arch& arch) const override;
  ArchKey key(const Arch& arch) const override;
  double count() const override;
  std::optional<int64_t> count_classes() const override;
  size_t features(Encoding encoding) const override;
  void encode(const Arch& arch, Encoding encoding, std::span<float> to) const override;
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  TrainingChoices training(const Arch& arch) const override;
  std::string draw_dot(const Arch& arch) const override;

 private:
  std::unique_ptr<Space> space_;
};

}  // namespace mixop::nas
