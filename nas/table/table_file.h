// The file of a table: a prelude, a JSON header padded to eight bytes, then sections of little-endian numbers:
// the columns (rows doubles each), the identities (24 bytes a row, ascending), where each architecture begins
// (rows + 1 uint32, padded to eight bytes), and the architectures (int32).
#pragma once

#include <array>
#include <cstdint>
#include <cstring>

#include "nas/json.h"
#include "nas/table/table.h"

namespace mixop::nas {

struct TablePrelude {
  std::array<char, 8> magic;
  std::array<char, 64> sha256;  // of all that follows it, as hexadecimal digits
  uint32_t version;
  uint32_t header_bytes;
  uint64_t file_bytes;
};
static_assert(sizeof(TablePrelude) == 88);
constexpr size_t kTableChecked = 72;  // where the part begins that has the checksum

constexpr std::array<char, 8> kTableMagic = {'m', 'i', 'x', 'o', 'p', 't', 'a', 'b'};
constexpr uint32_t kTableVersion = 1;

constexpr uint64_t padded_to_eight(uint64_t bytes) { return (bytes + 7) / 8 * 8; }

}  // namespace mixop::nas
