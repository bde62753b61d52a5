// Owned memory: of the host (aligned, zeroed, on huge pages where the system grants them), page-locked for copies
// to a device, or of a CUDA device (not zeroed).
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>

namespace mixop::kernels {

enum class Memory : uint8_t { kHost, kPinned, kDevice };

class Buffer {
 public:
  Buffer() = default;
  /// Throws mixop::Error that says how many bytes were asked for when there is too little memory.
  explicit Buffer(size_t bytes, Memory memory = Memory::kHost);
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
    std::swap(memory_, o.memory_);
  }
  std::byte* data_ = nullptr;
  size_t size_ = 0;
  Memory memory_ = Memory::kHost;
};

}  // namespace mixop::kernels
