// Batches of normalised, augmented images, made ahead of time by one thread.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <exception>
#include <mutex>
#include <thread>
#include <vector>

#include "datasets/augment.h"
#include "datasets/dataset.h"

namespace mixop::datasets {

enum class Order {
  kSequential,   // the indices as given; a short last batch
  kShuffle,      // a fresh permutation of the indices every epoch; a short last batch
  kRandomBatch,  // every batch is the head of its own fresh permutation, always full: what a freshly opened
                 // shuffled iterator yields, as DARTS draws the batches of its architecture step
};

// What the batches hold of their images.
enum class Content {
  kImages,  // the augmented images
  kDraws,   // what is needed to make the same images from the pixels and normalisation_table()
};

struct Batch {
  static constexpr int64_t kDrawRow = 1 + std::tuple_size_v<Draw>;

  int64_t size = 0;
  std::vector<float> images;      // kImages: [size, height, width, channels], sizes as augmented; else empty
  std::vector<int32_t> draws;     // kDraws: [size, kDrawRow], the index in the data set and the Draw of each image
  std::vector<int32_t> labels;    // [size]
  int64_t epoch = 0, number = 0;  // number counts from 0 within the epoch
};

struct Cursor {
  int64_t epoch = 0, batch = 0;  // batch in [0, batches_per_epoch)
  bool operator==(const Cursor&) const = default;
};

// A batch is a function of (data, indices, batch size, augment, order, seed, content, cursor) alone: neither the
// prefetch depth nor timing changes it. Use from one thread at a time.
class Loader {
 public:
  // `data` is kept by reference and must outlive the loader unchanged; `indices` name its images (repeats allowed).
  // With fewer indices than `batch_size`, a batch holds all of them. `prefetch` batches (>= 1) are made ahead.
  // Throws Error for an inconsistent data set, no index or one out of range, batch_size < 1, prefetch outside 1..64
  // and what check(Augment) refuses; for kDraws also an augmentation that is not a draw (Augment::is_draw).
  Loader(const Dataset& data, std::vector<int64_t> indices, int64_t batch_size, Augment augment, Order order,
         uint64_t seed, int prefetch = 3, Content content = Content::kImages);
  Loader(const Dataset&& data, std::vector<int64_t> indices, int64_t batch_size, Augment augment, Order order,
         uint64_t seed, int prefetch = 3, Content content = Content::kImages) = delete;  // a temporary would dangle
  ~Loader();
  Loader(const Loader&) = delete;
  Loader& operator=(const Loader&) = delete;

  // The next batch, valid until the following call of next(); waits if it is not made yet and allocates nothing.
  // Throws Error when an image has a label outside [0, classes); the same error again until seek().
  const Batch& next();

  // What the next call of next() will return; batches made ahead but not taken do not count.
  Cursor cursor() const;
  // Continues at `target`, bit for bit as an uninterrupted run would. Throws Error when it is out of range.
  void seek(Cursor target);

  // ceil(indices / batch size). kRandomBatch has no true epochs: there it only divides the count of batches.
  int64_t batches_per_epoch() const { return per_epoch_; }
  // Images in batch i of an epoch. Throws Error unless i is in [0, batches_per_epoch).
  int64_t batch_size_at(int64_t i) const;
  // Number of indices.
  int64_t size() const { return static_cast<int64_t>(indices_.size()); }

 private:
  void run();
  void resize(Batch& batch, int64_t size) const;
  void fill(int64_t number, Batch& batch);
  void permute(int64_t round, int64_t head);

  const Dataset& data_;
  const std::vector<int64_t> indices_;
  const int64_t batch_size_, per_epoch_;
  const Augment augment_;
  const Order order_;
  const uint64_t seed_;
  const int64_t prefetch_;
  const Content content_;
  const int64_t image_size_;  // values of one augmented image

  std::vector<int64_t> permutation_;  // only the thread touches it
  int64_t permuted_round_ = -1;

  // A ring of prefetch + 1 batches: those made ahead, and the one that the caller holds. Item i sits in slot
  // i % (prefetch + 1) and is batch i + shift_ counted from epoch 0.
  std::vector<Batch> slots_;
  mutable std::mutex mutex_;
  std::condition_variable changed_;
  int64_t made_ = 0, taken_ = 0, shift_ = 0;
  int64_t generation_ = 0;  // of seek(): a batch begun before it is thrown away
  std::exception_ptr error_;
  bool stop_ = false;
  std::thread thread_;  // last: it uses everything above
};

}  // namespace mixop::datasets
