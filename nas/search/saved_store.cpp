#include "nas/search/saved_store.h"

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

size_t bytes_of(const autograd::TensorStore& store) {
  return static_cast<size_t>(store.elements()) * kernels::size_of(store.dtype());
}

}  // namespace

std::string to_hex(autograd::TensorStore& store) {
  constexpr char kDigits[] = "0123456789abcdef";
  const std::byte* data = store.data();
  std::string text;
  for (size_t i = 0; i < bytes_of(store); ++i) {
    text += kDigits[std::to_integer<int>(data[i] >> 4)];
    text += kDigits[std::to_integer<int>(data[i] & std::byte{15})];
  }
  return text;
}

void from_hex(const std::string& text, autograd::TensorStore& store) {
  const size_t bytes = bytes_of(store);
  MIXOP_CHECK(text.size() == 2 * bytes && text.find_first_not_of("0123456789abcdef") == std::string::npos,
              "controller: the saved ", store.name(), " do not fit; was it saved with other settings?");
  const auto digit = [](char c) { return c <= '9' ? c - '0' : c - 'a' + 10; };
  std::byte* data = store.data();
  for (size_t i = 0; i < bytes; ++i)
    data[i] = static_cast<std::byte>(digit(text[2 * i]) * 16 + digit(text[2 * i + 1]));
}

}  // namespace mixop::nas
