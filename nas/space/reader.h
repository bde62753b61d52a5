// Reads the text form of an architecture from left to right; errors name the space, the text and the place.
#pragma once

#include <charconv>
#include <span>
#include <string>
#include <string_view>

#include "kernels/core/check.h"

namespace mixop::nas {

class Reader {
 public:
  Reader(std::string space, std::string_view text) : space_(std::move(space)), text_(text) {}

  bool done() const { return at_ == text_.size(); }
  size_t at() const { return at_; }
  std::string_view rest() const { return text_.substr(at_); }
  template <class... Parts>
  [[noreturn]] void fail_at(size_t at, const Parts&... expected) const {
    kernels::fail(space_, ": '", text_, "': expected ", expected..., " at character ", at);
  }

  /// Whether the word comes next; it is then read.
  bool take(std::string_view word) {
    if (rest().substr(0, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void expect(std::string_view word) {
    if (!take(word)) fail_at(at_, "'", word, "'");
  }
  int number() {
    int value = 0;
    const std::string_view from = rest();
    const auto [end, error] = std::from_chars(from.data(), from.data() + from.size(), value);
    if (error != std::errc{}) fail_at(at_, "a number");
    at_ += static_cast<size_t>(end - from.data());
    return value;
  }
  /// Index of the longest of the words that comes next.
  int32_t one_of(std::span<const std::string_view> words) {
    size_t found = words.size();
    std::string known;
    for (size_t i = 0; i < words.size(); ++i) {
      known += (i ? ", " : "") + std::string(words[i]);
      if (rest().substr(0, words[i].size()) != words[i]) continue;
      if (found == words.size() || words[i].size() > words[found].size()) found = i;
    }
    if (found == words.size()) fail_at(at_, "one of ", known);
    at_ += words[found].size();
    return static_cast<int32_t>(found);
  }

 private:
  std::string space_;
  std::string_view text_;
  size_t at_ = 0;
};

}  // namespace mixop::nas
