// Random search: independent uniform draws. The baseline that every other strategy must beat (Li and Talwalkar
// 2019).
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

class RandomSearch final : public Strategy {
 public:
  RandomSearch(const Space& space, uint64_t seed) : space_(space), random_(seed) {}

 protected:
  std::optional<Candidate> propose() override { return Candidate{.arch = space_.sample(random_)}; }
  void learn(const Candidate&, const Outcome&) override {}
  void save_to(Json& state) const override { state["random"] = random_.position(); }
  void load_from(const Json& state) override { random_.seek(state.at("random")); }

 private:
  const Space& space_;
  Random random_;
};

}  // namespace

const StrategyInfo kRandomSearch{
    "random",
    "uniform draws (Li and Talwalkar 2019)",
    {},
    [](const Space& space, const Settings&, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<RandomSearch>(space, seed);
    }};

}  // namespace mixop::nas
