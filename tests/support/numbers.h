// Elements of dense float tensors on the host, of either type.
#pragma once

#include <vector>

#include "kernels/core/tensor.h"

namespace mixop::test {

/// Element i becomes f(i), rounded to float32 whichever type the tensor has.
template <class F>
void set_numbers(const kernels::View& to, F&& f) {
  for (int64_t i = 0; i < to.shape.elements(); ++i) {
    const auto v = static_cast<float>(f(i));
    if (to.dtype == kernels::DType::kF64) to.as<double>()[i] = v;
    else to.as<float>()[i] = v;
  }
}

inline std::vector<double> numbers_of(const kernels::View& v) {
  std::vector<double> numbers;
  for (int64_t i = 0; i < v.shape.elements(); ++i)
    numbers.push_back(v.dtype == kernels::DType::kF64 ? v.as<double>()[i] : double{v.as<float>()[i]});
  return numbers;
}

}  // namespace mixop::test
