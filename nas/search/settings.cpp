#include "nas/search/settings.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

double number(const std::string& name, const std::string& text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  MIXOP_CHECK(error == std::errc{} && end == text.data() + text.size(), "setting ", name, ": '", text,
              "' is no number");
  return value;
}

std::string joined(const std::vector<std::string>& parts) {
  std::string all;
  for (const std::string& part : parts) all += (all.empty() ? "" : ", ") + part;
  return all;
}

}  // namespace

Settings::Settings(std::vector<Setting> known) : known_(std::move(known)) {
  for (const Setting& s : known_) set(s.name, s.fallback);
}

const Setting& Settings::find(const std::string& name) const {
  const auto at = std::find_if(known_.begin(), known_.end(), [&](const Setting& s) { return s.name == name; });
  if (at != known_.end()) return *at;
  std::vector<std::string> names;
  for (const Setting& s : known_) names.push_back(s.name);
  kernels::fail("unknown setting '", name, "'; there are: ", names.empty() ? "none" : joined(names));
}

void Settings::set(const std::string& name, const std::string& value) {
  const Setting& s = find(name);
  if (s.type == Setting::Type::kText) {
    MIXOP_CHECK(s.choices.empty() || std::count(s.choices.begin(), s.choices.end(), value), "setting ", name, ": '",
                value, "' is none of: ", joined(s.choices));
  } else {
    const double v = number(name, value);
    MIXOP_CHECK(s.type == Setting::Type::kReal || v == std::floor(v), "setting ", name, ": ", value,
                " is no whole number");
    MIXOP_CHECK(v >= s.least && v <= s.most, "setting ", name, ": ", value, " is outside ", s.least, " to ",
                s.most);
  }
  values_[name] = value;
}

double Settings::real(const std::string& name) const { return number(name, text(name)); }
int64_t Settings::integer(const std::string& name) const { return static_cast<int64_t>(real(name)); }
const std::string& Settings::text(const std::string& name) const { return values_.at(find(name).name); }

}  // namespace mixop::nas
