#include "nas/md5.h"

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>

namespace mixop::nas {
namespace {

// floor(2^32 |sin(i + 1)|), as the standard defines them.
const std::array<uint32_t, 64> kSines = [] {
  std::array<uint32_t, 64> k{};
  for (size_t i = 0; i < k.size(); ++i) k[i] = static_cast<uint32_t>(std::fabs(std::sin(i + 1.0)) * 0x1p32);
  return k;
}();

constexpr int kTurns[4][4] = {{7, 12, 17, 22}, {5, 9, 14, 20}, {4, 11, 16, 23}, {6, 10, 15, 21}};

void add_block(std::array<uint32_t, 4>& sum, const unsigned char* bytes) {
  std::array<uint32_t, 16> word{};
  for (size_t i = 0; i < 64; ++i) word[i / 4] |= static_cast<uint32_t>(bytes[i]) << (i % 4 * 8);
  auto [a, b, c, d] = sum;
  for (uint32_t i = 0; i < 64; ++i) {
    uint32_t mixed = 0, from = 0;
    switch (i / 16) {
      case 0:
        mixed = (b & c) | (~b & d);
        from = i;
        break;
      case 1:
        mixed = (d & b) | (~d & c);
        from = (5 * i + 1) % 16;
        break;
      case 2:
        mixed = b ^ c ^ d;
        from = (3 * i + 5) % 16;
        break;
      default:
        mixed = c ^ (b | ~d);
        from = 7 * i % 16;
    }
    const uint32_t turned = std::rotl(a + mixed + kSines[i] + word[from], kTurns[i / 16][i % 4]);
    a = d;
    d = c;
    c = b;
    b += turned;
  }
  sum[0] += a;
  sum[1] += b;
  sum[2] += c;
  sum[3] += d;
}

}  // namespace

std::string md5_hex(std::string_view text) {
  std::string padded(text);
  padded += '\x80';
  padded.resize((padded.size() + 8 + 63) / 64 * 64 - 8);
  for (int i = 0; i < 8; ++i) padded += static_cast<char>(static_cast<uint64_t>(text.size()) * 8 >> (8 * i));
  std::array<uint32_t, 4> sum = {0x67452301, 0xefcdab89, 0x98badcfe, 0x10325476};
  for (size_t at = 0; at < padded.size(); at += 64)
    add_block(sum, reinterpret_cast<const unsigned char*>(padded.data() + at));
  std::string hex;
  for (const uint32_t part : sum)
    for (const int shift : {4, 0, 12, 8, 20, 16, 28, 24}) hex += "0123456789abcdef"[part >> shift & 15];
  return hex;
}

}  // namespace mixop::nas
