#include "kernels/core/tensor.h"

#include <algorithm>

namespace mixop::kernels {

const char* name_of(DType t) {
  switch (t) {
    case DType::kF32:
      return "float32";
    case DType::kF64:
      return "float64";
    case DType::kI32:
      return "int32";
    case DType::kU8:
      return "uint8";
    case DType::kBF16:
      return "bfloat16";
  }
  return "?";
}

Shape::Shape(std::initializer_list<int64_t> dims) {
  for (const int64_t d : dims) push_back(d);
}

void Shape::push_back(int64_t d) {
  MIXOP_CHECK(rank_ < kMaxRank, "a shape has at most ", kMaxRank, " axes");
  dims_[rank_++] = d;
}

int64_t Shape::elements() const {
  int64_t n = 1;
  for (const int64_t d : *this) n *= d;
  return n;
}

bool Shape::operator==(const Shape& o) const { return std::equal(begin(), end(), o.begin(), o.end()); }

std::ostream& operator<<(std::ostream& out, const Shape& s) {
  out << '[';
  for (int i = 0; i < s.rank(); ++i) out << (i ? "," : "") << s[i];
  return out << ']';
}

}  // namespace mixop::kernels
