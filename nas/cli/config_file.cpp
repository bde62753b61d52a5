#include "nas/cli/config_file.h"

#include <fmt/format.h>

#include <toml++/toml.h>

#include "autograd/files.h"
#include "nas/cli/usage.h"

namespace mixop::cli {
namespace {

std::string text_of(const toml::node& node, const std::string& place) {
  if (const auto* v = node.as_string()) return v->get();
  if (const auto* v = node.as_integer()) return fmt::format("{}", v->get());
  if (const auto* v = node.as_floating_point()) return fmt::format("{}", v->get());
  if (const auto* v = node.as_boolean()) return v->get() ? "true" : "false";
  if (const auto* list = node.as_array()) {
    std::vector<std::string> parts;
    for (const toml::node& item : *list) parts.push_back(text_of(item, place));
    return fmt::format("[{}]", join(parts));
  }
  throw UsageError(place + ": a date or time is not the value of any key");
}

void flatten(const toml::table& table, const std::string& prefix, const std::string& path,
             std::vector<FileEntry>& out) {
  for (const auto& [key, node] : table) {
    const std::string name = prefix + std::string(key.str());
    if (const toml::table* inner = node.as_table()) {
      flatten(*inner, name + ".", path, out);
    } else {
      const std::string place = fmt::format("{}:{}", path, node.source().begin.line);
      out.push_back({name, text_of(node, place), place});
    }
  }
}

}  // namespace

std::vector<FileEntry> read_config_file(const std::string& path) {
  std::string text;
  try {
    text = autograd::read_file(path);
  } catch (const std::runtime_error& e) {
    throw UsageError(std::string("--config: ") + e.what());
  }
  std::vector<FileEntry> entries;
  try {
    flatten(toml::parse(text, path), "", path, entries);
  } catch (const toml::parse_error& e) {
    throw UsageError(fmt::format("{}:{}: not TOML: {}", path, e.source().begin.line, e.description()));
  }
  return entries;
}

}  // namespace mixop::cli
