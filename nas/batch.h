// What a training or search step is fed with; the caller owns the memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

#include "autograd/plan.h"

namespace mixop::nas {

struct Batch {
  const float* images = nullptr;    ///< [size, H, W, C], normalised
  const int32_t* labels = nullptr;  ///< [size], in [0, classes)
  int64_t size = 0;
  const double* exact = nullptr;  ///< the images in float64; when given they are taken in place of `images`
  /// [size, 8], see kernels/ops/augment.h; taken in place of images by plans whose images are resident.
  const int32_t* draws = nullptr;
};

/// Whole data sets that lie where plans run, as bytes: a batch is then a list of draws, and its images are cut,
/// mirrored and normalised in the plan (kernels/ops/augment.h), with the bits of images made on the host.
struct ResidentImages {
  autograd::TensorStore pixels{"pixels", kernels::DType::kU8};   ///< by part ("train"): [images, H, W, C]
  autograd::TensorStore tables{"tables", kernels::DType::kF32};  ///< by part: [C, 256] normalised values
};

/// Where a plan's images come from: fed as input "images", or with `resident` from `part` by input "draws".
struct ImageSource {
  ResidentImages* resident = nullptr;
  std::string part;
};

/// The images [batch, H, W, C] of a plan.
autograd::Value images_of(autograd::Graph& g, const ImageSource& source, const kernels::Shape& shape);

/// Copies a batch into the plan's inputs "images" (or "draws") and "labels". Throws when the sizes differ.
inline void feed(autograd::Plan& plan, const Batch& batch) {
  const bool resident = plan.has_input("draws");
  const kernels::View images = plan.input(resident ? "draws" : "images"), labels = plan.input("labels");
  MIXOP_CHECK(images.shape[0] == batch.size, "batch of ", batch.size, " images given to a plan for ",
              images.shape[0]);
  const int64_t n = images.shape.elements();
  const auto copy_images = [&](const auto* from) {
    if (images.dtype == kernels::DType::kF64) std::copy(from, from + n, images.as<double>());
    else std::copy(from, from + n, images.as<float>());
  };
  MIXOP_CHECK(!resident || batch.draws, "a batch without draws given to a plan whose images are resident");
  if (resident) std::copy(batch.draws, batch.draws + n, images.as<int32_t>());
  else if (batch.exact) copy_images(batch.exact);
  else copy_images(batch.images);
  std::memcpy(labels.data, batch.labels, static_cast<size_t>(batch.size) * sizeof(int32_t));
}

/// Sums over the images of one or more batches.
struct Score {
  double loss = 0;  ///< sum of per-image losses
  double correct = 0;
  int64_t images = 0;
  void operator+=(const Score& o) {
    loss += o.loss;
    correct += o.correct;
    images += o.images;
  }
  double mean_loss() const { return images ? loss / static_cast<double>(images) : 0; }
  double accuracy() const { return images ? correct / static_cast<double>(images) : 0; }
};

/// The numbers of one run of a plan, which on a device may still be going on.
struct PendingScore {
  const autograd::Plan* plan = nullptr;
  autograd::Value loss, correct;  ///< mean loss and count of a batch
  int64_t run = 0, images = 0;
  double host_seconds = 0;  ///< of the call that began it: on the CPU the run itself
  /// Runs that went before and belong to it.
  std::vector<std::pair<const autograd::Plan*, int64_t>> before{};
  /// What the run took where it ran, with those before; waits for it.
  double seconds() const {
    if (plan->device() == kernels::Device::kCpu) return host_seconds;
    double sum = plan->device_seconds(run);
    for (const auto& [earlier, number] : before) sum += earlier->device_seconds(number);
    return sum;
  }
  /// Waits for the run.
  Score get() const {
    return {plan->scalar(loss, run) * static_cast<double>(images), plan->scalar(correct, run), images};
  }
};

}  // namespace mixop::nas
