// Bayesian optimisation with a Gaussian process (Snoek et al. 2012, over encodings of architectures as in White et
// al. 2020): of random draws and neighbours of the best, the candidate with the highest acquisition comes next.
#include <algorithm>
#include <cmath>
#include <deque>
#include <numeric>
#include <unordered_set>

#include "kernels/core/check.h"
#include "nas/search/gaussian_process.h"
#include "nas/search/strategies.h"

namespace mixop::nas {
namespace {

using Type = Setting::Type;
using Eigen::MatrixXd;
using Eigen::VectorXd;

enum class Acquisition : uint8_t { kExpectedImprovement, kUpperBound, kThompson };

Acquisition find_acquisition(const std::string& name) {
  if (name == "ei") return Acquisition::kExpectedImprovement;
  return name == "ucb" ? Acquisition::kUpperBound : Acquisition::kThompson;
}

// The number of values below, plus half of the equal ones.
VectorXd ranks(const VectorXd& values) {
  VectorXd sorted = values, result(values.size());
  std::sort(sorted.begin(), sorted.end());
  for (Eigen::Index i = 0; i < values.size(); ++i) {
    const auto equal = std::equal_range(sorted.begin(), sorted.end(), values(i));
    result(i) = 0.5 * static_cast<double>((equal.first - sorted.begin()) + (equal.second - sorted.begin()));
  }
  return result;
}

VectorXd standardised(const VectorXd& values) {
  const VectorXd centred = values.array() - values.mean();
  const double deviation = std::sqrt(centred.squaredNorm() / static_cast<double>(values.size()));
  return deviation > 0 ? VectorXd(centred / deviation) : centred;
}

class Bayes final : public Strategy {
 public:
  Bayes(const Space& space, const Settings& s, uint64_t seed)
      : space_(space),
        encoding_(s.text("encoding") == "path" ? Encoding::kPath : Encoding::kOneHot),
        acquisition_(find_acquisition(s.text("acquisition"))),
        use_ranks_(s.text("target") == "rank"),
        beta_(s.real("beta")),
        initial_(s.integer("initial")),
        draws_(s.integer("draws")),
        best_(s.integer("best")),
        fit_(s.integer("fit")),
        most_points_(s.integer("points")),
        process_({.kernel = find_kernel(s.text("kernel")),
                  .length = s.real("length"),
                  .variance = s.real("variance"),
                  .noise = s.real("noise")}),
        random_(seed) {
    MIXOP_CHECK(space.features(encoding_) > 0, "bayes: ", space.name(), " has no ", s.text("encoding"),
                " encoding; try the other one (setting encoding: onehot, path)");
  }

 protected:
  std::optional<Candidate> propose() override {
    if (asked() >= initial_ && points_.empty()) return {};
    Candidate c{.arch = asked() < initial_ ? space_.sample(random_) : choose()};
    pending_.push_back(c.arch);
    return c;
  }

  void learn(const Candidate& c, const Outcome& outcome) override {
    pending_.pop_front();
    points_.push_back({c.arch, outcome.accuracy});
    if (static_cast<int64_t>(points_.size()) > most_points_) forget();
    ++told_;
  }

  void save_to(Json& state) const override {
    state["random"] = random_.position();
    state["told"] = told_;
    state["fitted"] = fitted_;
    const GaussianProcessOptions& o = process_.options();
    state["process"] = {o.length, o.variance, o.noise};
    state["pending"] = pending_;
    state["points"] = Json::array();
    for (const Point& p : points_) state["points"].push_back({p.arch, p.accuracy});
  }
  void load_from(const Json& state) override {
    random_.seek(state.at("random"));
    told_ = state.at("told");
    fitted_ = state.at("fitted");
    const Json& o = state.at("process");
    process_.set_options(
        {.kernel = process_.options().kernel, .length = o.at(0), .variance = o.at(1), .noise = o.at(2)});
    pending_ = state.at("pending").get<std::deque<Arch>>();
    points_.clear();
    for (const Json& p : state.at("points")) points_.push_back({p.at(0), p.at(1)});
  }

 private:
  struct Point {
    Arch arch;
    double accuracy;
  };

  // Indices of the points, the most accurate first.
  std::vector<size_t> by_accuracy() const {
    std::vector<size_t> order(points_.size());
    std::iota(order.begin(), order.end(), size_t{0});
    std::stable_sort(order.begin(), order.end(),
                     [this](size_t a, size_t b) { return points_[a].accuracy > points_[b].accuracy; });
    return order;
  }

  // A quarter leaves, the oldest but for the best.
  void forget() {
    const std::vector<size_t> order = by_accuracy();
    std::vector<bool> stays(points_.size());
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(best_)); ++i) stays[order[i]] = true;
    size_t leaving = points_.size() / 4;
    std::deque<Point> kept;
    for (size_t i = 0; i < points_.size(); ++i) {
      if (stays[i] || leaving == 0) {
        kept.push_back(std::move(points_[i]));
      } else {
        --leaving;
      }
    }
    points_ = std::move(kept);
  }

  // Random draws and neighbours of the best, none twice and none that is known or under way.
  std::vector<Arch> candidates() {
    std::unordered_set<ArchKey, ArchKeyHash> seen;
    for (const Point& p : points_) seen.insert(space_.key(p.arch));
    for (const Arch& a : pending_) seen.insert(space_.key(a));
    std::vector<Arch> found;
    const auto consider = [&](Arch arch) {
      if (seen.insert(space_.key(arch)).second) found.push_back(std::move(arch));
    };
    for (int64_t i = 0; i < draws_; ++i) consider(space_.sample(random_));
    const std::vector<size_t> order = by_accuracy();
    for (size_t i = 0; i < std::min(order.size(), static_cast<size_t>(best_)); ++i)
      for (Arch& neighbour : space_.neighbours(points_[order[i]].arch)) consider(std::move(neighbour));
    return found;
  }

  MatrixXd encode(const std::vector<Arch>& archs) const {
    std::vector<float> features(space_.features(encoding_));
    MatrixXd rows(static_cast<Eigen::Index>(archs.size()), static_cast<Eigen::Index>(features.size()));
    for (size_t i = 0; i < archs.size(); ++i) {
      space_.encode(archs[i], encoding_, features);
      for (size_t f = 0; f < features.size(); ++f)
        rows(static_cast<Eigen::Index>(i), static_cast<Eigen::Index>(f)) = double{features[f]};
    }
    return rows;
  }

  Arch choose() {
    std::vector<Arch> known, open = candidates();
    if (open.empty()) return space_.sample(random_);  // the space is exhausted
    VectorXd accuracies(static_cast<Eigen::Index>(points_.size()));
    for (const Point& p : points_) {
      accuracies(static_cast<Eigen::Index>(known.size())) = p.accuracy;
      known.push_back(p.arch);
    }
    const VectorXd targets = standardised(use_ranks_ ? ranks(accuracies) : accuracies);
    process_.set_data(encode(known), targets);
    if (fit_ > 0 && told_ >= fitted_ + fit_) {
      process_.fit();
      fitted_ = told_;
    }
    const GaussianProcess::Prediction p = process_.predict(encode(open));
    size_t best = 0;
    double best_value = -HUGE_VAL;
    for (size_t i = 0; i < open.size(); ++i) {
      const auto at = static_cast<Eigen::Index>(i);
      const double value = acquire(p.mean(at), p.deviation(at), targets.maxCoeff());
      if (value <= best_value) continue;
      best = i;
      best_value = value;
    }
    return open[best];
  }

  double acquire(double mean, double deviation, double incumbent) {
    if (acquisition_ == Acquisition::kUpperBound) return mean + beta_ * deviation;
    if (acquisition_ == Acquisition::kThompson) return mean + deviation * random_.normal();
    const double u = (mean - incumbent) / deviation;
    const double above = 0.5 * std::erfc(-u / M_SQRT2), density = std::exp(-u * u / 2) / std::sqrt(2 * M_PI);
    return deviation * (u * above + density);
  }

  const Space& space_;
  Encoding encoding_;
  Acquisition acquisition_;
  bool use_ranks_;
  double beta_;
  int64_t initial_, draws_, best_, fit_, most_points_;
  GaussianProcess process_;
  Random random_;
  int64_t told_ = 0, fitted_ = 0;
  std::deque<Point> points_;  // oldest first
  std::deque<Arch> pending_;  // asked, not yet told
};

}  // namespace

const StrategyInfo kBayes{
    "bayes",
    "Bayesian optimisation with a Gaussian process (Snoek et al. 2012)",
    {{"initial", Type::kInt, "10", "random draws at the beginning", 1, 1e9},
     {"kernel", Type::kText, "matern52", "of the Gaussian process", 0, 0, {"rbf", "matern32", "matern52"}},
     {"encoding", Type::kText, "onehot", "of an architecture", 0, 0, {"onehot", "path"}},
     {"acquisition",
      Type::kText,
      "ei",
      "expected improvement, upper confidence bound, independent Thompson sampling",
      0,
      0,
      {"ei", "ucb", "its"}},
     {"beta", Type::kReal, "2", "standard deviations that ucb adds to the mean", 0, 1e6},
     {"target", Type::kText, "z", "standardised accuracies, or their ranks, standardised", 0, 0, {"z", "rank"}},
     {"draws", Type::kInt, "200", "random candidates at each step", 1, 1e6},
     {"best", Type::kInt, "5", "best points whose neighbours are candidates too", 1, 8},
     {"fit", Type::kInt, "1", "outcomes between two maximisations of the likelihood; 0: never", 0, 1e9},
     {"length", Type::kReal, "2.4494897", "length scale, or where the first fit begins", 1e-2, 1e3},
     {"variance", Type::kReal, "1", "the kernel's constant, likewise", 1e-9, 1e9},
     {"noise", Type::kReal, "0.01", "variance of the noise as a share of the constant, likewise", 1e-6, 10},
     {"points", Type::kInt, "300", "outcomes kept; beyond that the oldest quarter leaves, the best stay", 16,
      5000}},
    [](const Space& space, const Settings& settings, uint64_t seed) -> std::unique_ptr<Strategy> {
      return std::make_unique<Bayes>(space, settings, seed);
    }};

}  // namespace mixop::nas
