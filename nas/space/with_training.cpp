#include "nas/space/with_training.h"

#include <algorithm>
#include <charconv>
#include <numeric>

#include "kernels/core/check.h"
#include "nas/space/reader.h"
#include "nas/supernet.h"

namespace mixop::nas {
namespace {

constexpr size_t kOwn = 3;
constexpr std::array<std::span<const std::string_view>, kOwn> kTables = {
    WithTraining::kRates, WithTraining::kOptimizers, WithTraining::kAugmentations};
constexpr std::array<std::string_view, kOwn> kNames = {"lr=", " optimizer=", " augmentation="};

int32_t draw(size_t own, Random& random) {
  return static_cast<int32_t>(random.below(static_cast<int64_t>(kTables[own].size())));
}
int64_t combinations() {
  int64_t n = 1;
  for (const auto& table : kTables) n *= static_cast<int64_t>(table.size());
  return n;
}
Arch inner(const Arch& arch) { return Arch(arch.begin() + kOwn, arch.end()); }
Arch joined(Arch own, const Arch& inner) {
  own.insert(own.end(), inner.begin(), inner.end());
  return own;
}
Arch own(const Arch& arch) { return Arch(arch.begin(), arch.begin() + kOwn); }

}  // namespace

WithTraining::WithTraining(std::unique_ptr<Space> space) : space_(std::move(space)) {
  MIXOP_CHECK(!space_->kinds().empty(), "space ", space_->name(),
              "+training: only spaces that are built step by step take further decisions");
}

std::string WithTraining::describe() const {
  return space_->describe() + "; with learning rate, optimiser and augmentation";
}

Arch WithTraining::parse(std::string_view text) const {
  Reader r(name(), text);
  Arch arch;
  for (size_t i = 0; i < kOwn; ++i) {
    r.expect(kNames[i]);
    arch.push_back(r.one_of(kTables[i]));
  }
  r.expect("; ");
  return joined(std::move(arch), space_->parse(r.rest()));
}

std::string WithTraining::format(const Arch& arch) const {
  std::string text;
  for (size_t i = 0; i < kOwn; ++i)
    text += std::string(kNames[i]) + std::string(kTables[i][static_cast<size_t>(arch[i])]);
  return text + "; " + space_->format(inner(arch));
}

bool WithTraining::next(const Arch& prefix, Decision& d) const {
  const int kinds_before = static_cast<int>(kOwn);
  if (prefix.size() >= kOwn) {
    const bool more = space_->next(inner(prefix), d);
    d.kind += kinds_before;
    return more;
  }
  d.kind = static_cast<int>(prefix.size());
  d.layer = 0;
  d.source = -1;
  d.legal.resize(kTables[prefix.size()].size());
  std::iota(d.legal.begin(), d.legal.end(), 0);
  return true;
}

std::vector<int> WithTraining::kinds() const {
  std::vector<int> sizes;
  for (const auto& table : kTables) sizes.push_back(static_cast<int>(table.size()));
  const std::vector<int> others = space_->kinds();
  sizes.insert(sizes.end(), others.begin(), others.end());
  return sizes;
}

std::vector<int32_t> WithTraining::state(const Arch& prefix) const {
  if (prefix.size() < kOwn) return {-1, static_cast<int32_t>(prefix.size()), prefix.empty() ? -1 : prefix.back()};
  return space_->state(inner(prefix));
}

Child WithTraining::mutate(const Arch& arch, Random& random) const {
  const auto place = static_cast<size_t>(random.below(static_cast<int64_t>(arch.size())));
  if (place >= kOwn) {
    Child child = space_->mutate(inner(arch), random);
    child.arch = joined(own(arch), child.arch);
    return child;
  }
  Arch child = arch;
  const auto values = static_cast<int64_t>(kTables[place].size());
  child[place] = static_cast<int32_t>((child[place] + 1 + random.below(values - 1)) % values);
  return {child};
}

Arch WithTraining::sample(Random& random) const {
  Arch arch;
  for (size_t i = 0; i < kOwn; ++i) arch.push_back(draw(i, random));
  return joined(std::move(arch), space_->sample(random));
}

Arch WithTraining::redraw(const Arch& arch, double rate, Random& random) const {
  Arch child = own(arch);
  for (size_t i = 0; i < kOwn; ++i)
    if (random.chance(rate)) child[i] = draw(i, random);
  return joined(std::move(child), space_->redraw(inner(arch), rate, random));
}

Arch WithTraining::crossover(const Arch& a, const Arch& b, Random& random) const {
  Arch child = own(a);
  for (size_t i = 0; i < kOwn; ++i)
    if (random.chance(0.5)) child[i] = b[i];
  return joined(std::move(child), space_->crossover(inner(a), inner(b), random));
}

std::vector<Arch> WithTraining::neighbours(const Arch& arch) const {
  std::vector<Arch> all;
  for (size_t i = 0; i < kOwn; ++i)
    for (size_t value = 0; value < kTables[i].size(); ++value) {
      if (static_cast<int32_t>(value) == arch[i]) continue;
      all.push_back(arch);
      all.back()[i] = static_cast<int32_t>(value);
    }
  for (const Arch& other : space_->neighbours(inner(arch))) all.push_back(joined(own(arch), other));
  return all;
}

ArchKey WithTraining::key(const Arch& arch) const {
  const ArchKey key = space_->key(inner(arch)), choices = hash_numbers(std::span(arch).first(kOwn));
  return {key.high ^ choices.high, key.low ^ choices.low};
}

double WithTraining::count() const { return static_cast<double>(combinations()) * space_->count(); }

std::optional<int64_t> WithTraining::count_classes() const {
  const std::optional<int64_t> classes = space_->count_classes();
  return classes ? combinations() * *classes : classes;
}

size_t WithTraining::features(Encoding encoding) const {
  size_t n = space_->features(encoding);
  if (n > 0)
    for (const auto& table : kTables) n += table.size();
  return n;
}

void WithTraining::encode(const Arch& arch, Encoding encoding, std::span<float> to) const {
  for (size_t i = 0; i < kOwn; ++i) {
    const std::span<float> values = to.first(kTables[i].size());
    std::fill(values.begin(), values.end(), 0.0f);
    values[static_cast<size_t>(arch[i])] = 1;
    to = to.subspan(values.size());
  }
  space_->encode(inner(arch), encoding, to);
}

NetworkOutputs WithTraining::build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                                   const NetworkScale& scale, bool training) const {
  return space_->build(g, images, stores, inner(arch), scale, training);
}

TrainingChoices WithTraining::training(const Arch& arch) const {
  const auto text = [&](size_t i) { return kTables[i][static_cast<size_t>(arch[i])]; };
  double lr = 0;
  std::from_chars(text(0).data(), text(0).data() + text(0).size(), lr);
  return {lr, std::string(text(1)), std::string(text(2))};
}

std::string WithTraining::draw_dot(const Arch& arch) const { return space_->draw_dot(inner(arch)); }

}  // namespace mixop::nas
