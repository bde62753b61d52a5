#include "datasets/loader.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "datasets/random.h"

namespace mixop::datasets {
namespace {

enum Purpose : uint64_t { kPermutation = 1, kAugmentation = 2 };  // keeps the two kinds of keys apart

int64_t positive(int64_t batch_size) {
  if (batch_size < 1) fail("loader: batch size ", batch_size, "; it must be at least 1");
  return batch_size;
}

}  // namespace

Loader::Loader(const Dataset& data, std::vector<int64_t> indices, int64_t batch_size, Augment augment, Order order,
               uint64_t seed, int prefetch, Content content)
    : data_(data),
      indices_(std::move(indices)),
      batch_size_(std::min<int64_t>(positive(batch_size), std::max<int64_t>(1, size()))),
      per_epoch_((size() + batch_size_ - 1) / batch_size_),
      augment_(std::move(augment)),
      order_(order),
      seed_(seed),
      prefetch_(prefetch),
      content_(content),
      image_size_(int64_t{1} * augment_.out_height(data.height) * augment_.out_width(data.width) * data.channels) {
  check_sizes(data_);
  check(augment_, data_.channels);
  if (indices_.empty()) fail("loader of '", data_.name, "': no images to load");
  for (int64_t i : indices_)
    if (i < 0 || i >= data_.size())
      fail("loader of '", data_.name, "': index ", i, " is outside 0..", data_.size() - 1);
  if (content_ == Content::kDraws && !augment_.is_draw())
    fail("loader of '", data_.name, "': resized crops, other sizes and colours cannot be left to draws");
  if (prefetch < 1 || prefetch > 64) fail("loader of '", data_.name, "': prefetch ", prefetch, " is outside 1..64");

  permutation_ = indices_;
  slots_.resize(static_cast<size_t>(prefetch_ + 1));
  for (Batch& slot : slots_) resize(slot, batch_size_);  // full size once; shorter batches keep the capacity
  thread_ = std::thread(&Loader::run, this);
}

Loader::~Loader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  thread_.join();
}

const Batch& Loader::next() {
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return made_ > taken_ || error_; });
  if (made_ == taken_) std::rethrow_exception(error_);  // only after the good batches before it
  const Batch& batch = slots_[static_cast<size_t>(taken_++ % (prefetch_ + 1))];
  lock.unlock();
  changed_.notify_all();
  return batch;
}

Cursor Loader::cursor() const {
  std::lock_guard lock(mutex_);
  const int64_t number = taken_ + shift_;
  return {number / per_epoch_, number % per_epoch_};
}

void Loader::seek(Cursor target) {
  if (target.epoch < 0 || target.epoch > (int64_t{1} << 40) || target.batch < 0 || target.batch >= per_epoch_)
    fail("loader of '", data_.name, "': cannot go to batch ", target.batch, " of epoch ", target.epoch,
         "; an epoch has batches 0..", per_epoch_ - 1);
  {
    std::lock_guard lock(mutex_);
    made_ = taken_;
    shift_ = target.epoch * per_epoch_ + target.batch - taken_;
    error_ = nullptr;
    ++generation_;
  }
  changed_.notify_all();
}

int64_t Loader::batch_size_at(int64_t i) const {
  if (i < 0 || i >= per_epoch_)
    fail("loader of '", data_.name, "': no batch ", i, "; an epoch has batches 0..", per_epoch_ - 1);
  return order_ == Order::kRandomBatch ? batch_size_ : std::min(batch_size_, size() - i * batch_size_);
}

void Loader::run() {
  std::unique_lock lock(mutex_);
  for (;;) {
    changed_.wait(lock, [&] { return stop_ || (!error_ && made_ - taken_ < prefetch_); });
    if (stop_) return;
    const int64_t item = made_, number = item + shift_, generation = generation_;
    lock.unlock();
    std::exception_ptr error;
    try {
      fill(number, slots_[static_cast<size_t>(item % (prefetch_ + 1))]);
    } catch (...) {
      error = std::current_exception();
    }
    lock.lock();
    if (generation != generation_) continue;
    if (error) error_ = error;
    else ++made_;
    changed_.notify_all();
  }
}

// The first `head` entries of the Fisher-Yates permutation of the indices that belongs to (seed, round).
void Loader::permute(int64_t round, int64_t head) {
  if (round == permuted_round_) return;
  permuted_round_ = round;
  std::copy(indices_.begin(), indices_.end(), permutation_.begin());
  const uint64_t key = mix(seed_, kPermutation, static_cast<uint64_t>(round));
  for (int64_t i = 0; i < head; ++i) {
    const auto j =
        i + static_cast<int64_t>(uniform(key, static_cast<uint64_t>(i), static_cast<uint64_t>(size() - i)));
    std::swap(permutation_[i], permutation_[j]);
  }
}

void Loader::resize(Batch& batch, int64_t size) const {
  batch.size = size;
  if (content_ == Content::kImages) batch.images.resize(static_cast<size_t>(size * image_size_));
  else batch.draws.resize(static_cast<size_t>(size * Batch::kDrawRow));
  batch.labels.resize(static_cast<size_t>(size));
}

// Batch `number`, counted from epoch 0, into `batch`.
void Loader::fill(int64_t number, Batch& batch) {
  batch.epoch = number / per_epoch_;
  batch.number = number % per_epoch_;
  resize(batch, batch_size_at(batch.number));
  const bool random = order_ == Order::kRandomBatch;
  const int64_t round = random ? number : batch.epoch, first = random ? 0 : batch.number * batch_size_;
  if (order_ != Order::kSequential) permute(round, random ? batch.size : size());

  const uint64_t key = mix(seed_, kAugmentation, static_cast<uint64_t>(round));
  for (int64_t i = 0; i < batch.size; ++i) {
    const int64_t index = permutation_[first + i];
    const int32_t label = data_.labels[index];
    if (label < 0 || label >= data_.classes)
      fail("data set '", data_.name, "': label ", label, " of image ", index, " is outside 0..", data_.classes - 1);
    batch.labels[i] = label;
    const uint64_t image_key = mix(key, static_cast<uint64_t>(first + i));
    if (content_ == Content::kImages) {
      apply(augment_, data_.image(index), data_.height, data_.width, data_.channels, image_key,
            batch.images.data() + i * image_size_);
    } else {
      const Draw choices = draw(augment_, data_.height, data_.width, image_key);
      int32_t* row = batch.draws.data() + i * Batch::kDrawRow;
      row[0] = static_cast<int32_t>(index);
      std::copy(choices.begin(), choices.end(), row + 1);
    }
  }
}

}  // namespace mixop::datasets
