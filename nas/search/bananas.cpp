// BANANAS (White et al. 2021): an ensemble of small networks predicts the error, and of the best architectures'
// mutations a batch is chosen by independent Thompson sampling.
#include <algorithm>
#include <deque>
#include <numeric>
#include <unordered_set>

#include "kernels/core/check.h"
#include "nas/search/mlp_ensemble.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;
using Eigen::MatrixXf;
using Eigen::VectorXf;

class Bananas final : public Strategy {
 public:
  Bananas(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        initial_(s.integer("initial")),
        batch_(s.integer("batch")),
        candidates_(s.integer("candidates")),
        patience_(s.integer("patience")),
        most_points_(s.integer("points")),
        members_(static_cast<int>(s.integer("members"))),
        mlp_({.layers = static_cast<int>(s.integer("layers")),
              .width = static_cast<int>(s.integer("width")),
              .lr = s.real("lr"),
              .epochs = static_cast<int>(s.integer("epochs"))}),
        random_(seed) {
    const bool path = s.text("encoding") == "path" || (s.text("encoding") == "auto" && has(Encoding::kPath));
    encoding_ = path ? Encoding::kPath : Encoding::kOneHot;
    MIXOP_CHECK(has(encoding_), "bananas: ", space.name(), " has no ", path ? "path" : "one-hot",
                " encoding; try another one (setting encoding: auto, path, onehot)");
  }

 protected:
  std::optional<Candidate> propose() override {
    if (asked() < initial_) return Candidate{.arch = space_.sample(random_)};
    if (queue_.empty()) {
      // The whole last batch comes first: what is learned does not depend on how many are evaluated at a time.
      if (told_ < asked()) return {};
      fill_queue();
    }
    Candidate c{.arch = std::move(queue_.front())};
    queue_.pop_front();
    return c;
  }

  void learn(const Candidate& c, const Outcome& outcome) override {
    ++told_;
    points_.push_back({c.arch, 100 - outcome.accuracy});
    if (static_cast<int64_t>(points_.size()) <= most_points_) return;
    // The best stay, and are parents; of the others the oldest leaves.
    const std::vector<size_t> best = by_error();
    size_t leaves = 0;
    while (std::find(best.begin(), best.begin() + patience_, leaves) != best.begin() + patience_) ++leaves;
    points_.erase(points_.begin() + static_cast<int64_t>(leaves));
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["told"] = told_;
    state["queue"] = queue_;
    state["points"] = Json::array();
    for (const Point& p : points_) state["points"].push_back({p.arch, p.error});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    told_ = state.at("told");
    queue_ = state.at("queue").get<std::deque<Arch>>();
    points_.clear();
    for (const Json& p : state.at("points")) points_.push_back({p.at(0), p.at(1)});
  }

 private:
  struct Point {
    Arch arch;
    double error;  // per cent
  };

  bool has(Encoding encoding) const { return space_.features(encoding) > 0; }

  std::vector<size_t> by_error() const {
    std::vector<size_t> order(points_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](size_t a, size_t b) { return points_[a].error < points_[b].error; });
    return order;
  }

  // Mutations of the best, then of the second best and so on, none twice and none that is known.
  std::vector<Arch> mutations() {
    std::unordered_set<ArchKey, ArchKeyHash> seen;
    for (const Point& p : points_) seen.insert(space_.key(p.arch));
    std::vector<Arch> found;
    const std::vector<size_t> order = by_error();
    const auto wanted = static_cast<size_t>(candidates_);
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(patience_)) && found.size() < wanted; ++i)
      for (int64_t k = 0; k < candidates_; ++k) {
        Arch arch = space_.mutate(points_[order[i]].arch, random_).arch;
        if (seen.insert(space_.key(arch)).second) found.push_back(std::move(arch));
      }
    // A small space may be exhausted around the best.
    for (int64_t k = 0; k < 10 * batch_ && static_cast<int64_t>(found.size()) < batch_; ++k) {
      Arch arch = space_.sample(random_);
      if (seen.insert(space_.key(arch)).second) found.push_back(std::move(arch));
    }
    if (found.empty()) found.push_back(space_.sample(random_));
    return found;
  }

  template <class Items, class ArchOf>
  MatrixXf encode(const Items& items, ArchOf arch_of) const {
    const size_t features = space_.features(encoding_);
    MatrixXf columns(static_cast<Eigen::Index>(features), static_cast<Eigen::Index>(items.size()));
    Eigen::Index at = 0;
    for (const auto& item : items) space_.encode(arch_of(item), encoding_, {&columns(0, at++), features});
    return columns;
  }

  void fill_queue() {
    VectorXf errors(static_cast<Eigen::Index>(points_.size()));
    for (size_t i = 0; i < points_.size(); ++i)
      errors(static_cast<Eigen::Index>(i)) = static_cast<float>(points_[i].error);
    std::vector<Arch> open = mutations();
    const EnsemblePrediction p = train_ensemble(
        members_, mlp_, encode(points_, [](const Point& point) -> const Arch& { return point.arch; }), errors,
        encode(open, [](const Arch& arch) -> const Arch& { return arch; }), random_);
    std::vector<std::pair<double, size_t>> draws;
    for (size_t i = 0; i < open.size(); ++i) {
      const auto at = static_cast<Eigen::Index>(i);
      draws.emplace_back(double{p.mean(at)} + double{p.deviation(at)} * random_.normal(), i);
    }
    std::sort(draws.begin(), draws.end());
    for (size_t i = 0; i < std::min(draws.size(), static_cast<size_t>(batch_)); ++i)
      queue_.push_back(std::move(open[draws[i].second]));
  }

  const Space& space_;
  int64_t initial_, batch_, candidates_, patience_, most_points_;
  int members_;
  MlpOptions mlp_;
  Encoding encoding_ = Encoding::kOneHot;
  Random random_;
  int64_t told_ = 0;
  std::deque<Point> points_;  // oldest first
  std::deque<Arch> queue_;    // the rest of the batch
};

}  // namespace

const StrategyInfo kBananas{
    "bananas",
    "ensemble of networks on path encodings with Thompson sampling (White et al. 2021)",
    {{"initial", Type::kInt, "10", "random draws at the beginning", 1, 1e9},
     {"batch", Type::kInt, "10", "architectures chosen after each training of the ensemble", 1, 1e6},
     {"candidates", Type::kInt, "100", "mutations that are considered", 1, 1e6},
     {"patience", Type::kInt, "5", "best architectures that are mutated until there are as many", 1, 15},
     {"encoding", Type::kText, "auto", "auto: path where the space has it", 0, 0, {"auto", "path", "onehot"}},
     {"members", Type::kInt, "5", "networks of the ensemble", 1, 100},
     {"layers", Type::kInt, "10", "hidden layers of each", 1, 100},
     {"width", Type::kInt, "20", "of a hidden layer", 1, 1000},
     {"lr", Type::kReal, "0.01", "of Adam (0.9, 0.99)", 0, 10},
     {"epochs", Type::kInt, "150", "over all that is known, in batches of 32", 1, 1e6},
     {"points", Type::kInt, "500", "outcomes kept; beyond that the oldest leaves, the best stay", 16, 1e6}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<Bananas>(space, settings, seed);
    }};

}  // namespace mixop::nas
