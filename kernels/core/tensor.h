// Shapes, types and views: a view points at memory that somebody else owns.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <ostream>

#include "kernels/core/check.h"

namespace mixop::kernels {

/// kBF16 (the upper half of a float32) is a form of storage on a device: what computes with it computes in float32.
enum class DType : uint8_t { kF32, kF64, kI32, kU8, kBF16 };

constexpr size_t size_of(DType t) { return t == DType::kF64 ? 8 : t == DType::kU8 ? 1 : t == DType::kBF16 ? 2 : 4; }
const char* name_of(DType t);

template <class T>
constexpr DType dtype_of() {
  if constexpr (sizeof(T) == 1) return DType::kU8;
  else if constexpr (sizeof(T) == 8) return DType::kF64;
  else if constexpr (std::is_floating_point_v<T>) return DType::kF32;
  else return DType::kI32;
}

constexpr int kMaxRank = 5;

/// Extents, slowest axis first. Activations are [N, H, W, C]; rank 0 does not occur (a scalar is [1]).
class Shape {
 public:
  Shape() = default;
  Shape(std::initializer_list<int64_t> dims);
  template <class It>
  Shape(It first, It last) {
    for (; first != last; ++first) push_back(*first);
  }

  int rank() const { return rank_; }
  int64_t operator[](int i) const { return dims_[i < 0 ? i + rank_ : i]; }
  int64_t& operator[](int i) { return dims_[i < 0 ? i + rank_ : i]; }
  void push_back(int64_t d);
  const int64_t* begin() const { return dims_.data(); }
  const int64_t* end() const { return dims_.data() + rank_; }
  int64_t elements() const;
  int64_t last() const { return rank_ ? dims_[rank_ - 1] : 1; }
  /// Product of all axes but the last.
  int64_t rows() const { return last() ? elements() / last() : 0; }
  bool operator==(const Shape& o) const;

 private:
  std::array<int64_t, kMaxRank> dims_{};
  int rank_ = 0;
};
std::ostream& operator<<(std::ostream& out, const Shape& s);

/// Memory seen as [rows, last] where consecutive rows lie `ld` elements apart: contiguous when ld == last, a
/// channel slice of a wider tensor when ld > last.
struct View {
  void* data = nullptr;
  DType dtype = DType::kF32;
  Shape shape;
  int64_t ld = 0;
  int phase = 0;  ///< bytes that it begins past a cache line, where these are known before `data` is

  template <class T>
  T* as() const {
    return static_cast<T*>(data);
  }
  int64_t rows() const { return shape.rows(); }
  int64_t last() const { return shape.last(); }
  bool contiguous() const { return ld == shape.last() || rows() <= 1; }
};

/// Who writes first sets, later writers of the same gradient add; the memory pass decides.
enum class Write : uint8_t { kSet, kAdd };

struct Out : View {
  Write write = Write::kSet;
};

}  // namespace mixop::kernels
