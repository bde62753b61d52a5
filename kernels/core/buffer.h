// Owned memory: aligned, zeroed, on huge pages where the system grants them.
#pragma once

#include <cstddef>
#include <utility>

namespace mixop::kernels {

class Buffer {
 public:
  Buffer() = default;
  /// Throws mixop::Error that says how many bytes were asked for when the system has too little memory.
  explicit Buffer(size_t bytes);
  ~Buffer();
  Buffer(Buffer&& o) noexcept { swap(o); }
  Buffer& operator=(Buffer&& o) noexcept {
    swap(o);
    return *this;
  }
  std::byte* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  void swap(Buffer& o) noexcept {
    std::swap(data_, o.data_);
    std::swap(size_, o.size_);
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
};

}  // namespace mixop::kernels
