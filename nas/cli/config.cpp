#include "nas/cli/config.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <utility>

#include "kernels/core/check.h"
#include "nas/cli/config_file.h"

namespace mixop::cli {
namespace {

std::string table_of(const std::string& name) { return name.substr(0, name.find('.')); }
std::string leaf_of(const std::string& name) { return name.substr(name.find('.') + 1); }

// As TOML, which the messages use as well.
std::string print(const Value& value) {
  if (const auto* b = std::get_if<bool>(&value)) return *b ? "true" : "false";
  if (const auto* i = std::get_if<int64_t>(&value)) return fmt::format("{}", *i);
  if (const auto* r = std::get_if<double>(&value)) return fmt::format("{}", *r);
  std::string quoted = "\"";
  for (const char c : std::get<std::string>(value)) {
    if (c == '"' || c == '\\') quoted += '\\';
    quoted += c == '\n' ? ' ' : c;
  }
  return quoted + '"';
}

template <class T>
T number(const std::string& text, const std::string& place, const char* kind) {
  T v{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), v);
  if (error != std::errc() || end != text.data() + text.size())
    throw UsageError(fmt::format("{}: '{}' is not {}", place, text, kind));
  return v;
}

void check_range(const Key& key, double v, const std::string& text, const std::string& place) {
  if (v >= key.least && v <= key.most) return;
  const bool open = key.most == std::numeric_limits<double>::infinity();
  throw UsageError(open ? fmt::format("{}: {} is too small, at least {}", place, text, key.least)
                        : fmt::format("{}: {} is not in {}..{}", place, text, key.least, key.most));
}

Value parse(const Key& key, const std::string& text, const std::string& place) {
  switch (key.type) {
    case Key::Type::kBool:
      if (text != "true" && text != "false")
        throw UsageError(fmt::format("{}: '{}' is not true or false", place, text));
      return text == "true";
    case Key::Type::kInt: {
      const auto v = number<int64_t>(text, place, "a whole number");
      check_range(key, static_cast<double>(v), text, place);
      return v;
    }
    case Key::Type::kReal: {
      const auto v = number<double>(text, place, "a number");
      if (!std::isfinite(v)) throw UsageError(fmt::format("{}: '{}' is not finite", place, text));
      check_range(key, v, text, place);
      return v;
    }
    case Key::Type::kText:
      break;
  }
  if (!key.choices.empty() && std::find(key.choices.begin(), key.choices.end(), text) == key.choices.end())
    throw UsageError(fmt::format("{}: '{}' is not one of {}", place, text, join(key.choices)));
  return text;
}

Value from_json(const Key& key, const Json& j) {
  switch (key.type) {
    case Key::Type::kBool:
      return j.get<bool>();
    case Key::Type::kInt:
      return j.get<int64_t>();
    case Key::Type::kReal:
      return j.get<double>();
    case Key::Type::kText:
      break;
  }
  return j.get<std::string>();
}

}  // namespace

Key int_key(std::string name, std::string flag, std::optional<int64_t> fallback, std::string help) {
  Key key{std::move(name), std::move(flag), Key::Type::kInt, {}, std::move(help)};
  if (fallback) key.fallback = *fallback;
  return key;
}
Key real_key(std::string name, std::string flag, double fallback, std::string help) {
  return {std::move(name), std::move(flag), Key::Type::kReal, fallback, std::move(help)};
}
Key text_key(std::string name, std::string flag, std::optional<std::string> fallback, std::string help) {
  Key key{std::move(name), std::move(flag), Key::Type::kText, {}, std::move(help)};
  if (fallback) key.fallback = *fallback;
  return key;
}
Key bool_key(std::string name, std::string flag, std::optional<bool> fallback, std::string help) {
  Key key{std::move(name), std::move(flag), Key::Type::kBool, {}, std::move(help)};
  if (fallback) key.fallback = *fallback;
  return key;
}

void Config::add_options(CLI::App& app) {
  for (const Key& key : keys_) {
    if (key.flag.empty()) continue;
    Flag& flag = flags_.emplace_back(Flag{.key = &key, .text = {}});
    std::string help = key.help;
    if (!key.choices.empty()) help += fmt::format(" ({})", join(key.choices));
    help += fmt::format(" [{}]", key.name);
    if (key.type == Key::Type::kBool) {
      flag.option = app.add_flag(key.flag + ",!--no-" + key.flag.substr(2), flag.on, help);
    } else {
      flag.option = app.add_option(key.flag, flag.text, help)->take_last();
      flag.option->type_name(key.type == Key::Type::kInt ? "N" : key.type == Key::Type::kReal ? "X" : "TEXT");
      if (key.fallback) flag.option->default_str(print(*key.fallback));
    }
  }
  app.add_option("--config", file_, "TOML file of keys; flags beat it");
  app.add_option("--set", sets_, "one key, such as weights.lr=0.01; beats flags and file")->allow_extra_args(false);
}

const Key* Config::find(const std::string& name) const {
  for (const Key& key : keys_)
    if (key.name == name) return &key;
  return nullptr;
}

Key* Config::find(const std::string& name) { return const_cast<Key*>(std::as_const(*this).find(name)); }

void Config::suggest(const std::string& name, const std::string& text) {
  Key* key = find(name);
  MIXOP_CHECK(key, "configuration: no key '", name, "'");
  key->fallback = parse(*key, text, name);
}

void Config::suggest(const Json& config) {
  for (Key& key : keys_) {
    const auto table = config.find(table_of(key.name));
    if (table == config.end() || !table->contains(leaf_of(key.name))) continue;
    key.fallback = from_json(key, table->at(leaf_of(key.name)));
  }
}

void Config::assign(const std::string& name, const std::string& text, const std::string& place) {
  if (name == "arch.betas" && find("arch.beta1")) {  // the pair as optimisers are usually written
    const size_t comma = text.find(',');
    if (comma == std::string::npos || text.front() != '[' || text.back() != ']')
      throw UsageError(fmt::format("{}: '{}' is not a pair [beta1, beta2]", place, text));
    const size_t second = text.find_first_not_of(' ', comma + 1);
    assign("arch.beta1", text.substr(1, comma - 1), place);
    assign("arch.beta2", text.substr(second, text.size() - 1 - second), place);
    return;
  }
  if (const Key* key = find(name)) {
    given_[name] = parse(*key, text, place);
    return;
  }
  std::vector<std::string> known;
  for (const Key& key : keys_) known.push_back(key.name);
  throw UsageError(fmt::format("{}: unknown key '{}'; the nearest is '{}'", place, name, nearest(name, known)));
}

void Config::collect() {
  given_.clear();
  if (!file_.empty())
    for (const FileEntry& e : read_config_file(file_)) assign(e.name, e.text, e.place);
  for (const Flag& flag : flags_) {
    if (flag.option->count() == 0) continue;
    if (flag.key->type == Key::Type::kBool) given_[flag.key->name] = flag.on;
    else given_[flag.key->name] = parse(*flag.key, flag.text, flag.key->flag);
  }
  for (const std::string& set : sets_) {
    const size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0)
      throw UsageError(fmt::format("--set: '{}' is not of the form key=value", set));
    const std::string name = set.substr(0, equals);
    std::string text = set.substr(equals + 1);
    if (text.size() >= 2 && text.front() == '"' && text.back() == '"') text = text.substr(1, text.size() - 2);
    assign(name, text, "--set " + name);
  }
}

Value* Config::given(const std::string& name) {
  const auto it = given_.find(name);
  return it == given_.end() ? nullptr : &it->second;
}

void Config::resolve(const Json* stored) {
  values_.clear();
  for (const Key& key : keys_) {
    const auto given = given_.find(key.name);
    std::optional<Value> v = key.fallback;
    if (stored && key.on_resume != OnResume::kForget) {
      const Json* table = stored->contains(table_of(key.name)) ? &stored->at(table_of(key.name)) : nullptr;
      if (table && table->contains(leaf_of(key.name))) v = from_json(key, table->at(leaf_of(key.name)));
      const std::string* text = v ? std::get_if<std::string>(&*v) : nullptr;
      MIXOP_CHECK(!text || key.choices.empty() || std::count(key.choices.begin(), key.choices.end(), *text),
                  "cannot resume: ", key.name, " of the run is ", print(*v),
                  ", which this command does not take; resume with the command that began the run");
      if (given != given_.end() && key.on_resume == OnResume::kMustAgree)
        MIXOP_CHECK(v && *v == given->second, "cannot resume with another configuration: ", key.name, " is ",
                    print(given->second), ", but the run has ", v ? print(*v) : "none",
                    "; leave it out, or start over with --force");
    }
    if (given != given_.end()) v = given->second;
    if (v) values_[key.name] = *v;
  }
}

const Value& Config::value(const std::string& name) const {
  if (const auto it = values_.find(name); it != values_.end()) return it->second;
  if (const auto it = given_.find(name); it != given_.end()) return it->second;
  const Key* key = find(name);
  MIXOP_CHECK(key, "configuration: no key '", name, "'");
  if (!key->fallback) throw UsageError(fmt::format("{} has no value; give {}", name, key->flag));
  return *key->fallback;
}

std::string Config::toml() const {
  std::vector<std::pair<std::string, std::string>> tables;
  for (const Key& key : keys_) {
    if (!values_.contains(key.name)) continue;
    const std::string table = table_of(key.name);
    if (tables.empty() || tables.back().first != table) tables.push_back({table, ""});
    std::string& line = tables.back().second;
    line += fmt::format("{}{} = {}", line.empty() ? "" : ", ", leaf_of(key.name), print(value(key.name)));
  }
  std::string out;
  for (const auto& [table, line] : tables) out += fmt::format("{} = {{ {} }}\n", table, line);
  return out;
}

Json Config::json() const {
  Json out = Json::object();
  for (const Key& key : keys_)
    if (key.on_resume != OnResume::kForget && values_.contains(key.name))
      std::visit([&](const auto& v) { out[table_of(key.name)][leaf_of(key.name)] = v; }, value(key.name));
  return out;
}

}  // namespace mixop::cli
