// MD5 (RFC 1321), for the names that published benchmarks give to their architectures; not for security.
#pragma once

#include <string>
#include <string_view>

namespace mixop::nas {

/// 32 lower-case hexadecimal digits.
std::string md5_hex(std::string_view text);

}  // namespace mixop::nas
