// Whole files and zlib streams as bytes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <vector>

namespace mixop::datasets {

// The bytes of a regular file. Throws Error naming the file when it is absent, not a file, or unreadable.
std::vector<uint8_t> read_file(const std::filesystem::path& path);

enum class Wrapper { kGzip, kZlib };

struct Inflated {
  std::vector<uint8_t> bytes;
  bool complete;  // the end of the stream was reached and its checksum holds
};

// Decompresses at most `limit` bytes, so a small file that claims or expands to an absurd size cannot exhaust
// memory. A stream that is cut off yields what it holds, with complete = false; so does one that is longer than
// `limit`. Throws Error beginning with `where` when the data is corrupt or stray bytes follow it.
Inflated inflate_at_most(std::span<const uint8_t> packed, Wrapper wrapper, size_t limit, const std::string& where);

}  // namespace mixop::datasets
