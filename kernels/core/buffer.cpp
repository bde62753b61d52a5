#include "kernels/core/buffer.h"

#include <sys/mman.h>
#include <sys/sysinfo.h>

#include "kernels/core/check.h"
#include "kernels/core/device.h"

namespace mixop::kernels {

Buffer::Buffer(size_t bytes, Memory memory) : size_(bytes), memory_(memory) {
  if (!bytes) return;
  if (memory != Memory::kHost) {
    data_ =
        static_cast<std::byte*>(memory == Memory::kDevice ? cuda::allocate(bytes) : cuda::allocate_pinned(bytes));
    return;
  }
  struct sysinfo info {};
  // Linux grants more than it has and kills later: ask first, so that the failure has a message.
  if (sysinfo(&info) == 0) {
    const size_t total = size_t{info.totalram + info.totalswap} * info.mem_unit;
    MIXOP_CHECK(bytes <= total, "out of memory: ", bytes >> 20, " MiB needed, the machine has ", total >> 20,
                " MiB; lower the batch size or the channels");
  }
  void* p = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MIXOP_CHECK(p != MAP_FAILED, "out of memory: ", bytes >> 20, " MiB needed; lower the batch size or the channels");
  if (bytes >= (size_t{4} << 20)) madvise(p, bytes, MADV_HUGEPAGE);
  data_ = static_cast<std::byte*>(p);
}

Buffer::~Buffer() {
  if (!data_) return;
  if (memory_ == Memory::kDevice) cuda::release(data_);
  else if (memory_ == Memory::kPinned) cuda::release_pinned(data_);
  else munmap(data_, size_);
}

}  // namespace mixop::kernels
