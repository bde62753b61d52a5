#include "nas/space/spaces.h"

#include <charconv>

#include "kernels/core/check.h"
#include "nas/sharing/enas_macro.h"
#include "nas/sharing/enas_micro.h"
#include "nas/space/chain.h"
#include "nas/space/darts_space.h"
#include "nas/space/dna.h"
#include "nas/space/hierarchical.h"
#include "nas/space/metaqnn.h"
#include "nas/space/nasnet.h"
#include "nas/space/nb101.h"
#include "nas/space/nb201.h"
#include "nas/space/nbmacro.h"
#include "nas/space/with_training.h"

namespace mixop::nas {
namespace {

struct Entry {
  const char* name;
  std::unique_ptr<Space> (*make)(const std::string& options);
};

template <class S>
std::unique_ptr<Space> plain(const std::string& options) {
  auto space = std::make_unique<S>();
  SpaceOptions(space->name(), options, {});
  return space;
}

std::unique_ptr<Space> chain(const std::string& options) {
  const SpaceOptions o("chain", options, {{"layers", 6}, {"halvings", 3}, {"skips", 0}});
  return std::make_unique<ChainSpace>(o["layers"], o["halvings"], o["skips"] != 0);
}
std::unique_ptr<Space> dna(const std::string& options) {
  return std::make_unique<DnaSpace>(SpaceOptions("dna", options, {{"mutations", 30}})["mutations"]);
}
std::unique_ptr<Space> metaqnn(const std::string& options) {
  const SpaceOptions o("metaqnn", options, {{"layers", 18}, {"size", 32}});
  return std::make_unique<MetaQnnSpace>(o["layers"], o["size"]);
}

std::unique_ptr<Space> nasnet(const std::string& options) {
  const SpaceOptions o("nasnet", options, {{"blocks", 5}, {"ops", 13}, {"concat", 1}});
  return std::make_unique<NasnetSpace>(NasnetSpace::Options{o["blocks"], o["ops"], o["concat"] != 0});
}

std::unique_ptr<Space> enas_macro(const std::string& options) {
  return std::make_unique<EnasMacroSpace>(SpaceOptions("enas-macro", options, {{"layers", 12}})["layers"]);
}

constexpr std::string_view kTraining = "+training";

constexpr Entry kSpaces[] = {
    {"nb201", plain<Nb201Space>},
    {"nb101", plain<Nb101Space>},
    {"nbmacro", plain<NbMacroSpace>},
    {"darts", plain<DartsSpace>},
    {"nasnet", nasnet},
    {"enas-micro", plain<EnasMicroSpace>},
    {"enas-macro", enas_macro},
    {"hierarchical", plain<HierarchicalSpace>},
    {"chain", chain},
    {"metaqnn", metaqnn},
    {"dna", dna},
};

}  // namespace

SpaceOptions::SpaceOptions(const std::string& space, const std::string& text, std::map<std::string, int> known)
    : values_(std::move(known)) {
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const std::string item = text.substr(at, end - at);
    const size_t equals = std::min(item.find('='), item.size());
    const auto value = values_.find(item.substr(0, equals));
    std::string names;
    for (const auto& [name, fallback] : values_) names += (names.empty() ? "" : ", ") + name;
    MIXOP_CHECK(value != values_.end(), "space ", space, ": unknown option '", item.substr(0, equals),
                "'; there are: ", names.empty() ? "none" : names);
    const char* last = item.data() + item.size();
    const auto [stop, error] =
        std::from_chars(item.data() + std::min(equals + 1, item.size()), last, value->second);
    MIXOP_CHECK(error == std::errc{} && stop == last, "space ", space, ": '", item, "' should be ", value->first,
                "=NUMBER");
    at = end + 1;
  }
}

std::vector<std::string> space_names() {
  std::vector<std::string> names;
  for (const Entry& e : kSpaces) names.emplace_back(e.name);
  return names;
}

std::unique_ptr<Space> find_space(const std::string& text) {
  if (text.ends_with(kTraining))
    return std::make_unique<WithTraining>(find_space(text.substr(0, text.size() - kTraining.size())));
  const size_t colon = std::min(text.find(':'), text.size());
  const std::string name = text.substr(0, colon);
  std::string known;
  for (const Entry& e : kSpaces) {
    if (e.name == name) return e.make(colon < text.size() ? text.substr(colon + 1) : "");
    known += (known.empty() ? "" : ", ") + std::string(e.name);
  }
  kernels::fail("unknown space '", name, "'; there are: ", known);
}

}  // namespace mixop::nas
