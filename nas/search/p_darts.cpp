// P-DARTS (Chen et al. 2019, arXiv 1904.12760): stages of deeper and deeper supernets in which ever fewer
// candidates are left on each edge, with dropout on skips and a limit to those of the normal cell. Defaults are
// those of the authors' command for CIFAR-10.
#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/softmax.h"
#include "kernels/core/check.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/kept_candidates.h"
#include "nas/search/skip_limit.h"

namespace mixop::nas {
namespace {

constexpr const char *kKeep = "skip_keep", *kDraw = "skip_draw";
// Of dropout once the alphas move: exp(-0.2 epochs).
constexpr double kDecay = 0.2;

std::string barred(const std::string& table) { return table + ".barred"; }

class PDarts final : public AlphaMethod {
 public:
  explicit PDarts(const Settings& s)
      : keep_(parse_stages("keep", s.text("keep"))),
        dropout_(parse_stages("dropout", s.text("dropout"))),
        deepen_(static_cast<int>(s.integer("deepen"))),
        warmup_(static_cast<int>(s.integer("warmup"))),
        skips_(static_cast<int>(s.integer("skips"))) {
    MIXOP_CHECK(keep_.size() == dropout_.size(), "p-darts: ", keep_.size(), " stages by --keep, ", dropout_.size(),
                " by --dropout; both list one number a stage");
    MIXOP_CHECK(std::is_sorted(keep_.rbegin(), keep_.rend()) && keep_.back() >= 2, "p-darts: --keep ",
                s.text("keep"), ": every stage keeps at most as many candidates as the one before, and at least 2");
    for (const double p : dropout_) MIXOP_CHECK(p >= 0 && p < 1, "p-darts: --dropout ", p, " is not in 0..1");
  }

  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions deeper = options;
    deeper.cells += stage_ * deepen_;
    return darts_mixed_space(deeper);
  }

  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind kind) const override {
    const KeptCandidates kept = candidates(space);
    std::vector<Mixing> mixing;
    for (const AlphaTensor& a : alphas(space)) {
      const Value left = autograd::add(g, alpha_tensor(g, stores, a), g.input(barred(a.name), a.shape));
      Mixing m{.table = autograd::softmax(g, left), .kept = kept.table(mixing.size())};
      if (dropout_[stage()] > 0 && kind != StepKind::kEvaluation) {
        m.skip_keep = mixing.empty() ? g.input(kKeep, {1}) : mixing[0].skip_keep;
        m.skip_draw = mixing.empty() ? g.input(kDraw, {1}) : mixing[0].skip_draw;
      }
      mixing.push_back(std::move(m));
    }
    return mixing;
  }

  void check(const MixedSpace& space) const override {
    MIXOP_CHECK(space.space().name() == "darts", "p-darts: the space ", space.space().name(),
                " cannot be made deeper; search darts");
    const auto all = static_cast<double>(space.tables()[0].columns.size());
    MIXOP_CHECK(keep_[0] == all, "p-darts: the first stage of --keep is ", keep_[0], ", but an edge has ", all,
                " candidates to start from");
  }

  bool moves_alphas(int epoch) const override { return epoch >= warmup_; }

  void begin_epoch(int epoch, int epochs) override {
    const double factor = moves_alphas(epoch) ? std::exp(-kDecay * (epoch - warmup_))
                                              : static_cast<double>(epochs - epoch - 1) / epochs;
    feeds_[kKeep] = {1 - dropout_[stage()] * factor};
  }

  std::vector<int32_t> begin_step(StepKind kind, Stores&, const MixedSpace& space, Random& random) override {
    if (kind != StepKind::kEvaluation) feeds_[kDraw] = {static_cast<double>(random.below(1 << 24))};
    const std::vector<MixTable> tables = space.tables();
    for (size_t t = 0; t < tables.size(); ++t)
      if (auto& logits = feeds_[barred(tables[t].name)]; logits.empty()) logits = candidates(space).logits(t);
    return {};
  }

  int stages() const override { return static_cast<int>(keep_.size()); }
  void next_stage(const MixedSpace& space, const std::vector<TableValues>& alphas) override {
    KeptCandidates kept = candidates(space);
    ++stage_;
    kept.keep_strongest(strengths(space, alphas), static_cast<int>(keep_[stage()]));
    kept_ = kept.save();
    feeds_.clear();
  }

  std::vector<TableValues> strengths(const MixedSpace& space,
                                     const std::vector<TableValues>& alphas) const override {
    const KeptCandidates kept = candidates(space);
    std::vector<TableValues> result;
    for (size_t t = 0; t < alphas.size(); ++t) result.push_back(kept.softmax(t, alphas[t]));
    return result;
  }
  std::string decode(const MixedSpace& space, const std::vector<TableValues>& alphas) const override {
    return decode_with_skips(space, strengths(space, alphas), skips_);
  }
  std::string remarks(const MixedSpace& space, const std::vector<TableValues>& alphas) const override {
    const std::vector<TableValues> tables = strengths(space, alphas);
    std::string text = "genotypes with at most M skips in the normal cell:\n";
    for (int most = count_skips(parse_genotype(space.decode_text(tables)).normal); most >= 0; --most)
      text += "M = " + std::to_string(most) + ": " + decode_with_skips(space, tables, most) + "\n";
    return text;
  }

  Json save() const override { return {{"stage", stage_}, {"kept", kept_}}; }
  void load(const Json& json) override {
    stage_ = json.at("stage");
    kept_ = json.at("kept");
    feeds_.clear();
  }

 private:
  size_t stage() const { return static_cast<size_t>(stage_); }
  KeptCandidates candidates(const MixedSpace& space) const {
    KeptCandidates kept(space.tables());
    if (!kept_.empty()) kept.load(kept_);
    return kept;
  }

  std::vector<double> keep_, dropout_;  // by stage
  int deepen_, warmup_, skips_, stage_ = 0;
  Json kept_ = Json::array();  // empty: all
};

}  // namespace

const AlphaMethodInfo kPDarts{
    "p-darts",
    "deeper networks with fewer candidates in three stages (Chen et al. 2019)",
    {{"keep", Setting::Type::kText, "8,5,3", "candidates of an edge, by stage"},
     {"dropout", Setting::Type::kText, "0.1,0.4,0.7", "of skips at the start, by stage"},
     {"deepen", Setting::Type::kInt, "6", "cells that a stage has more than the one before", 0},
     {"warmup", Setting::Type::kInt, "10", "epochs of a stage before the alphas move", 0},
     {"skips", Setting::Type::kInt, "2", "skips that the normal cell may have", 0}},
    {.epochs = 25, .batch = 96, .cells = 5, .lr_min = 0, .arch_lr = 6e-4, .arch_clip = 5},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<PDarts>(s); }};

}  // namespace mixop::nas
