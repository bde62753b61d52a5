#include "nas/confusion.h"

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

double share(int64_t part, int64_t whole) {
  return whole ? static_cast<double>(part) / static_cast<double>(whole) : 0;
}

}  // namespace

template <class T>
void Confusion::add_rows(const T* logits, const int32_t* labels, int64_t rows, int64_t ld) {
  for (int64_t i = 0; i < rows; ++i) {
    const T* row = logits + i * ld;
    const int64_t label = labels[i];
    int64_t best = 0, above = 0;  // `above`: logits that come before the label's, of equal ones the first
    for (int64_t k = 0; k < classes_; ++k) {
      if (row[k] > row[best]) best = k;
      above += row[k] > row[label] || (row[k] == row[label] && k < label);
    }
    ++counts_[label * classes_ + best];
    in_top_ += above < kTop;
  }
  images_ += rows;
}

void Confusion::add(const kernels::View& logits, const int32_t* labels) {
  const kernels::Shape& s = logits.shape;
  MIXOP_CHECK(s.rank() == 2 && s[1] == classes_, "confusion of ", classes_, " classes: logits are ", s);
  for (int64_t i = 0; i < s[0]; ++i)
    MIXOP_CHECK(labels[i] >= 0 && labels[i] < classes_, "confusion of ", classes_, " classes: label ", labels[i]);
  if (logits.dtype == kernels::DType::kF64) add_rows(logits.as<double>(), labels, s[0], logits.ld);
  else add_rows(logits.as<float>(), labels, s[0], logits.ld);
}

double Confusion::accuracy() const {
  int64_t right = 0;
  for (int64_t k = 0; k < classes_; ++k) right += count(k, k);
  return share(right, images_);
}

double Confusion::top5() const { return share(in_top_, images_); }

ClassScore Confusion::score(int64_t k) const {
  ClassScore s;
  for (int64_t j = 0; j < classes_; ++j) {
    s.images += count(k, j);
    s.predicted += count(j, k);
  }
  const int64_t right = count(k, k);
  s.precision = share(right, s.predicted);
  s.recall = share(right, s.images);
  s.f1 = share(2 * right, s.images + s.predicted);
  return s;
}

ClassScore Confusion::macro() const {
  ClassScore mean;
  int64_t n = 0;
  for (int64_t k = 0; k < classes_; ++k) {
    const ClassScore s = score(k);
    if (s.images + s.predicted == 0) continue;
    ++n;
    mean.images += s.images;
    mean.predicted += s.predicted;
    mean.precision += s.precision;
    mean.recall += s.recall;
    mean.f1 += s.f1;
  }
  for (double* sum : {&mean.precision, &mean.recall, &mean.f1}) *sum /= static_cast<double>(n ? n : 1);
  return mean;
}

Json Confusion::to_json() const {
  Json counts = Json::array();
  for (int64_t i = 0; i < classes_; ++i)
    for (int64_t j = 0; j < classes_; ++j)
      if (const int64_t n = count(i, j)) counts.insert(counts.end(), {i, j, n});
  return {{"classes", classes_}, {"images", images_}, {"in_top5", in_top_}, {"counts", counts}};
}

Confusion Confusion::from_json(const Json& json) {
  Confusion c(json.at("classes").get<int64_t>());
  c.images_ = json.at("images");
  c.in_top_ = json.at("in_top5");
  const Json& counts = json.at("counts");
  for (size_t i = 0; i < counts.size(); i += 3) {
    const int64_t label = counts.at(i), taken_for = counts.at(i + 1);
    c.counts_.at(static_cast<size_t>(label * c.classes_ + taken_for)) = counts.at(i + 2);
  }
  return c;
}

}  // namespace mixop::nas
