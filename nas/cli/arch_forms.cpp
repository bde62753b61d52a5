#include "nas/cli/arch_forms.h"

#include <algorithm>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/usage.h"
#include "nas/json.h"
#include "nas/space/darts_space.h"
#include "nas/space/nb101.h"
#include "nas/space/nb101_text.h"
#include "nas/space/nb201_order.h"

namespace mixop::cli {
namespace {

using nas::Arch;

struct Form {
  const char *space, *name;
  std::string (*write)(const Arch& arch);
};

std::string digits(const Arch& arch) {
  std::string text;
  for (const int32_t n : arch) text += static_cast<char>('0' + n);
  return text;
}

std::string tuple(const Arch& arch) {
  std::string text = "(";
  for (const int32_t n : arch) text += kernels::text(text.size() > 1 ? ", " : "", n);
  return text + ")";
}

constexpr Form kForms[] = {
    {"nb201", "digits", digits},
    {"nb201", "nats", [](const Arch& a) { return tuple(nb201_to_tuple(a, nas::Nb201Order::kNats)); }},
    {"nb201", "naslib", [](const Arch& a) { return tuple(nb201_to_tuple(a, nas::Nb201Order::kNaslib)); }},
    {"nb101", "pruned", [](const Arch& a) { return nas::format_nb101(nas::nb101_graph(a)); }},
    {"nb101", "json", [](const Arch& a) { return nas::format_nb101_json(nas::nb101_graph(a)); }},
    {"nb101", "hash", [](const Arch& a) { return nas::nb101_hash(nas::nb101_graph(a)); }},
    {"darts", "darts", [](const Arch& a) { return nas::format_genotype(nas::darts_genotype(a)); }},
    {"darts", "json", [](const Arch& a) { return nas::format_json(nas::darts_genotype(a)); }},
};

Arch parse_numbers(const nas::Space& space, std::string list) {
  if (list.front() == '(' && list.back() == ')') list = '[' + list.substr(1, list.size() - 2) + ']';
  const nas::Json json = nas::Json::parse(list, nullptr, false);
  const bool whole = json.is_array() && std::all_of(json.begin(), json.end(), [](const nas::Json& n) {
                       return n.is_number_unsigned() && n < 1 << 30;
                     });
  MIXOP_CHECK(whole, space.name(), ": '", list, "' is no list of whole numbers");
  return json.get<Arch>();
}

}  // namespace

std::vector<std::string> arch_forms(const nas::Space& space) {
  std::vector<std::string> names = {"text"};
  for (const Form& form : kForms)
    if (space.name() == form.space) names.emplace_back(form.name);
  names.emplace_back("numbers");
  return names;
}

Arch read_arch(const nas::Space& space, std::string spec, const std::string& order) {
  if (spec.starts_with('@')) {
    spec = autograd::read_file(spec.substr(1));
    while (!spec.empty() && std::isspace(static_cast<unsigned char>(spec.back()))) spec.pop_back();
  }
  const bool nb201 = space.name() == "nb201";
  if (!order.empty() && !nb201) throw UsageError("--index-order: only nb201 has two orders, not " + space.name());
  if (!spec.starts_with('[') && !spec.starts_with('(')) return space.parse(spec);
  Arch arch = parse_numbers(space, spec);
  if (nb201) {
    const auto known = nas::find_nb201_order(order);
    if (!known)
      throw UsageError("nb201: what the numbers " + spec + " mean must be said: --index-order nats|naslib");
    arch = nas::nb201_from_tuple(arch, *known);
  }
  space.validate(arch);
  return arch;
}

std::string write_arch(const nas::Space& space, const Arch& arch, const std::string& form) {
  if (form == "text") return space.format(arch);
  if (form == "numbers") return nas::Json(arch).dump();
  for (const Form& f : kForms)
    if (space.name() == f.space && form == f.name) return f.write(arch);
  throw UsageError("--to " + form + " is no form of " + space.name() + "; there are " + join(arch_forms(space)));
}

}  // namespace mixop::cli
