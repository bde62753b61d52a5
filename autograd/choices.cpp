#include "autograd/choices.h"

#include <sstream>

namespace mixop::autograd {

std::string call_key(const std::string& op, const kernels::Call& call, const std::string& detail) {
  std::ostringstream key;
  key << op;
  const auto put = [&](const kernels::View& v) {
    key << ' ' << v.shape << '/' << v.ld << (v.dtype == kernels::DType::kBF16 ? "b" : "");
    if (v.phase % 16 != 0) key << "+" << v.phase % 16;  // fewer implementations may accept it
  };
  for (const kernels::View& v : call.in) put(v);
  key << " ->";
  for (const kernels::Out& v : call.out) {
    put(v);
    key << (v.write == kernels::Write::kAdd ? " add" : " set");
  }
  if (!detail.empty()) key << ' ' << detail;
  return key.str();
}

std::string format_choices(const Choices& choices) {
  std::string text;
  for (const auto& [key, impl] : choices) text += key + '\t' + impl + '\n';
  return text;
}

Choices parse_choices(const std::string& text, const std::string& place) {
  Choices choices;
  std::istringstream in(text);
  int number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty() || line[0] == '#') continue;
    const size_t tab = line.find('\t');
    MIXOP_CHECK(tab != std::string::npos && tab > 0 && tab + 1 < line.size(), place, ":", number,
                ": expected a call, a tab and the name of an implementation");
    choices[line.substr(0, tab)] = line.substr(tab + 1);
  }
  return choices;
}

}  // namespace mixop::autograd
