#pragma once

namespace mixop::cli {
inline constexpr char kVersion[] = "0.1.0";
}  // namespace mixop::cli
