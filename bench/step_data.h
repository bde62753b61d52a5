// A batch of random images with labels, as a search step takes it.
#pragma once

#include <cstring>
#include <vector>

#include "kernels/core/rng.h"
#include "kernels/ops/augment.h"
#include "nas/batch.h"

namespace mixop::bench {

/// The same batch for every step: copied from the host each time, or with `resident` drawn by the plan from as many
/// images as CIFAR-10's training set has, which then lie on the device as bytes.
class StepData {
 public:
  static constexpr int64_t kResidentImages = 50'000;

  /// Images [height, width, channels].
  StepData(int64_t batch, const kernels::Shape& image, bool resident)
      : labels_(static_cast<size_t>(batch)), resident_(resident) {
    for (size_t i = 0; i < labels_.size(); ++i) labels_[i] = static_cast<int32_t>(i % 10);
    if (!resident) {
      images_.resize(static_cast<size_t>(batch * image.elements()));
      for (size_t i = 0; i < images_.size(); ++i) images_[i] = static_cast<float>(kernels::normal(1, 0, i));
      return;
    }
    all_.pixels.find_or_create(kPart, {kResidentImages, image[0], image[1], image[2]}, {});
    all_.tables.find_or_create(kPart, {image[2], 256}, {});
    for (uint64_t i = 0; i < static_cast<uint64_t>(batch); ++i) {
      const auto random = kernels::philox(1, 1, i);  // an image, moved by up to 4 pixels, mirrored or not
      draws_.insert(draws_.end(),
                    {static_cast<int32_t>(random[0] % kResidentImages), static_cast<int32_t>(random[1] % 9) - 4,
                     static_cast<int32_t>(random[2] % 9) - 4, static_cast<int32_t>(random[3] % 2), 0, 0, 0, 0});
    }
  }
  StepData(const StepData&) = delete;
  StepData& operator=(const StepData&) = delete;

  /// Where plans take images from; refers to this object.
  nas::ImageSource source() { return resident_ ? nas::ImageSource{&all_, kPart} : nas::ImageSource{}; }

  /// Gives resident images their values; to be called when all plans are compiled.
  void fill() {
    if (!resident_) return;
    const kernels::View pixels = all_.pixels.flat(), table = all_.tables.flat();
    constexpr int64_t kAtOnce = sizeof(kernels::philox(1, 2, 0));
    static_assert(kResidentImages % kAtOnce == 0);
    for (int64_t i = 0; i < pixels.shape.elements(); i += kAtOnce)
      std::memcpy(pixels.as<uint8_t>() + i, kernels::philox(1, 2, static_cast<uint64_t>(i)).data(), kAtOnce);
    for (int64_t i = 0; i < table.shape.elements(); ++i)
      table.as<float>()[i] = (static_cast<float>(i % 256) / 255 - 0.5f) / 0.25f;
  }

  nas::Batch batch() const {
    nas::Batch b{.labels = labels_.data(), .size = static_cast<int64_t>(labels_.size())};
    if (resident_) b.draws = draws_.data();
    else b.images = images_.data();
    return b;
  }

 private:
  static constexpr const char* kPart = "train";
  std::vector<float> images_;
  std::vector<int32_t> labels_, draws_;
  bool resident_;
  nas::ResidentImages all_;
};

}  // namespace mixop::bench
