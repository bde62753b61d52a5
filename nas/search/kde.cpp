#include "nas/search/kde.h"

#include <algorithm>
#include <cmath>

namespace mixop::nas {

CategoricalKde::CategoricalKde(std::vector<Arch> points, double least, bool bounded)
    : points_(std::move(points)), least_(least), bounded_(bounded) {
  size_t longest = 0;
  for (const Arch& p : points_) longest = std::max(longest, p.size());
  for (size_t i = 0; i < longest; ++i) {
    double n = 0, sum = 0, squares = 0;
    for (const Arch& p : points_) {
      if (i >= p.size()) continue;
      n += 1;
      sum += p[i];
      squares += static_cast<double>(p[i]) * p[i];
    }
    const double deviation = std::sqrt(std::max(0.0, squares / n - sum / n * (sum / n)));
    bandwidths_.push_back(std::max(least, 1.06 * deviation * std::pow(n, -1 / (4 + static_cast<double>(longest)))));
  }
}

double CategoricalKde::bandwidth(size_t decision) const {
  return decision < bandwidths_.size() ? bandwidths_[decision] : least_;
}

double CategoricalKde::density(const Arch& arch, std::span<const int> values) const {
  double sum = 0;
  for (const Arch& p : points_) {
    double product = 1;
    for (size_t i = 0; i < arch.size(); ++i) {
      const double c = values[i];
      const double h = bounded_ ? std::min(bandwidth(i), (c - 1) / c) : bandwidth(i);
      if (c > 1) product *= i >= p.size() ? 1 / c : p[i] == arch[i] ? 1 - h : h / (c - 1);
    }
    sum += product;
  }
  return sum / static_cast<double>(points_.size());
}

Arch CategoricalKde::sample(const Space& space, Random& random, std::vector<int>& values) const {
  const Arch& point = random.one_of(points_);
  values.clear();
  Arch arch;
  for (Decision d; space.next(arch, d);) {
    const size_t at = arch.size();
    const bool legal = at < point.size() && std::binary_search(d.legal.begin(), d.legal.end(), point[at]);
    values.push_back(static_cast<int>(d.legal.size()));
    arch.push_back(legal && random.chance(1 - bandwidth(at)) ? point[at] : random.one_of(d.legal));
  }
  return arch;
}

}  // namespace mixop::nas
