// The settings of a strategy: a table of names, each with its published value.
#pragma once

#include <map>
#include <string>
#include <vector>

namespace mixop::nas {

struct Setting {
  enum class Type : uint8_t { kInt, kReal, kText };
  std::string name;  ///< "population"; the flag is --population, the key strategy.population
  Type type;
  std::string fallback;  ///< as text: "100", "0.05", "ei"
  std::string help;
  double least = -1e300, most = 1e300;  ///< of numbers
  std::vector<std::string> choices{};   ///< of texts; empty: any
};

/// The values of the settings that a strategy declared. Throws mixop::Error naming the setting and what is allowed
/// for an unknown name, a text that is no number, a value out of range.
class Settings {
 public:
  explicit Settings(std::vector<Setting> known);

  void set(const std::string& name, const std::string& value);
  double real(const std::string& name) const;
  int64_t integer(const std::string& name) const;
  const std::string& text(const std::string& name) const;

  const std::vector<Setting>& known() const { return known_; }

 private:
  const Setting& find(const std::string& name) const;
  std::vector<Setting> known_;
  std::map<std::string, std::string> values_;
};

}  // namespace mixop::nas
