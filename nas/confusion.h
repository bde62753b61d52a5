// What a classifier answers for images of known classes: the confusion matrix and what follows from it.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/core/tensor.h"
#include "nas/json.h"

namespace mixop::nas {

/// Each in 0..1; a share of nothing is 0 (as scikit-learn has it).
struct ClassScore {
  int64_t images = 0, predicted = 0;  ///< images of the class, and images taken for it
  double precision = 0;               ///< share of the images taken for the class that are of it
  double recall = 0;                  ///< share of the images of the class that are taken for it
  double f1 = 0;                      ///< harmonic mean of the two
};

class Confusion {
 public:
  static constexpr int kTop = 5;

  explicit Confusion(int64_t classes = 0) : classes_(classes), counts_(static_cast<size_t>(classes * classes)) {}

  /// Counts a batch: logits [N, classes] of type float32 or float64, labels [N] in [0, classes). Taken for is the
  /// class of the largest logit, of equal ones the first, as top1() counts.
  void add(const kernels::View& logits, const int32_t* labels);

  int64_t classes() const { return classes_; }
  int64_t images() const { return images_; }
  int64_t count(int64_t label, int64_t taken_for) const { return counts_[label * classes_ + taken_for]; }
  /// Share of the images that are taken for what they are.
  double accuracy() const;
  /// Whether there are more classes than five: else every image's class is among the five largest logits.
  bool has_top5() const { return classes_ > kTop; }
  /// Share of the images whose class is among the five largest logits.
  double top5() const;
  ClassScore score(int64_t of_class) const;
  /// Means over the classes that occur, in the data or among the answers; counts are sums.
  ClassScore macro() const;

  /// Exact; the counts are a list of label, taken for, number.
  Json to_json() const;
  /// Throws nlohmann's exceptions for anything else.
  static Confusion from_json(const Json& json);

 private:
  template <class T>
  void add_rows(const T* logits, const int32_t* labels, int64_t rows, int64_t ld);

  int64_t classes_, images_ = 0, in_top_ = 0;
  std::vector<int64_t> counts_;  // [label, taken for]
};

}  // namespace mixop::nas
