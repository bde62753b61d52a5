#include "nas/search/alpha_methods.h"

#include "kernels/core/check.h"

namespace mixop::nas {

const AlphaMethodInfo kDarts{"darts", "first-order DARTS (Liu et al. 2019)", {}, {}, [](const Settings&) {
                               return std::make_unique<AlphaMethod>();
                             }};

const std::vector<const AlphaMethodInfo*>& alpha_methods() {
  static const std::vector<const AlphaMethodInfo*> all = {
      &kDarts, &kFairDarts, &kDartsMinus, &kBetaDarts, &kPcDarts, &kPDarts, &kDrNas, &kSnas, &kGdas,
  };
  return all;
}

const AlphaMethodInfo& find_alpha_method(const std::string& name) {
  std::string known;
  for (const AlphaMethodInfo* m : alpha_methods()) {
    if (m->name == name) return *m;
    known += (known.empty() ? "" : ", ") + m->name;
  }
  kernels::fail("unknown method '", name, "'; there are: ", known);
}

}  // namespace mixop::nas
