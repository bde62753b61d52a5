// A run's configuration: one table of keys, each a dotted name of the TOML file and (mostly) a flag.
#pragma once

#include <deque>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "nas/cli/usage.h"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace mixop::cli {

using Json = nlohmann::ordered_json;
using Value = std::variant<bool, int64_t, double, std::string>;

/// What a resumed run does with a key.
enum class OnResume : uint8_t {
  kMustAgree,  ///< taken from the run; another value is refused
  kMayChange,  ///< taken from the run unless given
  kForget      ///< belongs to one process: not recorded
};

struct Key {
  enum class Type : uint8_t { kBool, kInt, kReal, kText };
  std::string name, flag;  ///< "weights.lr", "--lr"; flag may be empty
  Type type;
  std::optional<Value> fallback;  ///< empty: found out when the run is set up
  std::string help;
  double least = -std::numeric_limits<double>::infinity(), most = std::numeric_limits<double>::infinity();
  std::vector<std::string> choices{};
  OnResume on_resume = OnResume::kMustAgree;

  Key in(double lo, double hi) && { return least = lo, most = hi, std::move(*this); }
  Key at_least(double lo) && { return least = lo, std::move(*this); }
  Key one_of(std::vector<std::string> c) && { return choices = std::move(c), std::move(*this); }
  Key when_resumed(OnResume r) && { return on_resume = r, std::move(*this); }
};

Key int_key(std::string name, std::string flag, std::optional<int64_t> fallback, std::string help);
Key real_key(std::string name, std::string flag, double fallback, std::string help);
Key text_key(std::string name, std::string flag, std::optional<std::string> fallback, std::string help);
/// Its flag has a twin: --crop and --no-crop.
Key bool_key(std::string name, std::string flag, std::optional<bool> fallback, std::string help);

/// Priorities: --set beats flags beat --config beats the fallbacks. Every mistake of the user is a UsageError that
/// names the key or flag, the place and, for an unknown one, the nearest known.
class Config {
 public:
  explicit Config(std::vector<Key> keys) : keys_(std::move(keys)) {}
  Config(const Config&) = delete;
  Config& operator=(const Config&) = delete;

  /// Adds the keys' flags, --config and --set to a command.
  void add_options(CLI::App& app);
  /// After parsing: gathers what the user gave.
  void collect();
  /// Makes a value, as a user would write it, the fallback of a key. Throws UsageError when the key cannot have it.
  void suggest(const std::string& name, const std::string& text);
  /// The same with the values of a configuration as json() writes it; keys that are not known are passed over.
  void suggest(const Json& config);
  /// Whether a key was given or has a fallback.
  bool has(const std::string& name) const { return given_.contains(name) || find(name)->fallback; }
  /// As if the user had given it.
  void give(const std::string& name, Value v) { given_[name] = std::move(v); }
  /// What the user gave for a key, to be looked at or rewritten before resolve(); null when nothing.
  Value* given(const std::string& name);
  /// Fixes all values. With `stored` (the configuration of the run to resume) keys that were not given are taken
  /// from there; throws mixop::Error naming the first key that was given and does not agree.
  void resolve(const Json* stored = nullptr);

  /// The value of a key; before resolve() what was given or the fallback. T: bool, int64_t, double, std::string.
  template <class T>
  const T& get(const std::string& name) const {
    return std::get<T>(value(name));
  }
  int64_t integer(const std::string& name) const { return get<int64_t>(name); }
  double real(const std::string& name) const { return get<double>(name); }
  const std::string& text(const std::string& name) const { return get<std::string>(name); }
  bool on(const std::string& name) const { return get<bool>(name); }
  /// Sets a key without fallback unless it has a value.
  void fill(const std::string& name, Value v) { values_.try_emplace(name, std::move(v)); }

  /// One inline table a line: search = { epochs = 50, ... }
  std::string toml() const;
  /// {"search": {"epochs": 50, ...}, ...} without what belongs to one process.
  Json json() const;

 private:
  struct Flag {
    const Key* key;
    std::string text;
    bool on = false;
    CLI::Option* option = nullptr;
  };
  const Value& value(const std::string& name) const;
  const Key* find(const std::string& name) const;
  Key* find(const std::string& name);
  void assign(const std::string& name, const std::string& text, const std::string& place);

  std::vector<Key> keys_;
  std::deque<Flag> flags_;  // addresses must stay: CLI11 writes into them
  std::string file_;
  std::vector<std::string> sets_;
  std::map<std::string, Value> given_, values_;
};

}  // namespace mixop::cli
