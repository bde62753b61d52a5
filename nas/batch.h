// What a training or search step is fed with; the caller owns the memory.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>

#include "autograd/plan.h"

namespace mixop::nas {

struct Batch {
  const float* images = nullptr;    ///< [size, H, W, C], normalised
  const int32_t* labels = nullptr;  ///< [size], in [0, classes)
  int64_t size = 0;
  const double* exact = nullptr;  ///< the images in float64; when given they are taken in place of `images`
};

/// Copies a batch into the plan's inputs "images" and "labels". Throws when the sizes differ.
inline void feed(autograd::Plan& plan, const Batch& batch) {
  const kernels::View images = plan.input("images"), labels = plan.input("labels");
  MIXOP_CHECK(images.shape[0] == batch.size, "batch of ", batch.size, " images given to a plan for ",
              images.shape[0]);
  const int64_t n = images.shape.elements();
  const auto copy_images = [&](const auto* from) {
    if (images.dtype == kernels::DType::kF64) std::copy(from, from + n, images.as<double>());
    else std::copy(from, from + n, images.as<float>());
  };
  if (batch.exact) copy_images(batch.exact);
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

}  // namespace mixop::nas
