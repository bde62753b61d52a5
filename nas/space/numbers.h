// Architectures written as numbers between blanks.
#pragma once

#include <string>
#include <string_view>

#include "nas/space/reader.h"
#include "nas/space/space.h"

namespace mixop::nas {

/// The numbers of a text, between blanks (also line breaks). Throws mixop::Error naming the space and the
/// character.
inline Arch read_numbers(const std::string& space, std::string_view text) {
  Reader reader(space, text);
  Arch numbers;
  for (;;) {
    bool apart = numbers.empty();
    while (reader.take(" ") || reader.take("\t") || reader.take("\n")) apart = true;
    if (reader.done()) return numbers;
    if (!apart) reader.fail_at(reader.at(), "a blank");
    numbers.push_back(reader.number());
  }
}

inline std::string write_numbers(const Arch& arch) {
  std::string text;
  for (const int32_t n : arch) text += kernels::text(text.empty() ? "" : " ", n);
  return text;
}

}  // namespace mixop::nas
