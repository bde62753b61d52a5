// PC-DARTS (Xu et al. 2020, arXiv 1907.05737): DARTS on partial channels, with weighted edges and alphas and betas
// that rest while the weights warm up. Defaults are those of the authors' code for CIFAR-10.
#include "kernels/core/check.h"
#include "nas/search/alpha_methods.h"
#include "nas/sharing/partial_channels.h"

namespace mixop::nas {
namespace {

/// softmax_by_node on the host.
TableValues by_node(const TableValues& betas) {
  TableValues result;
  for (size_t begin = 0, edges = 2; begin < betas.size(); begin += edges++) {
    const auto first = betas.begin() + static_cast<int64_t>(begin);
    const TableValues node = softmax_rows({first, first + static_cast<int64_t>(edges)}, static_cast<int>(edges));
    result.insert(result.end(), node.begin(), node.end());
  }
  return result;
}

class PcDarts final : public AlphaMethod {
 public:
  explicit PcDarts(const Settings& s) : partial_(s.integer("partial")), warmup_(s.integer("warmup")) {}

  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions partial = options;
    partial.partial = partial_;
    return partial_channels_space(partial);
  }

  void check(const MixedSpace& space) const override {
    MIXOP_CHECK(space.tables().size() == 2 * kBetas, "pc-darts: the space ", space.space().name(),
                " has no partial channels; search darts");
  }

  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind kind) const override {
    std::vector<Mixing> mixing = AlphaMethod::mix(g, stores, space, kind);
    const std::vector<AlphaTensor> tensors = alphas(space);
    for (size_t t = kBetas; t < mixing.size(); ++t)
      mixing[t].table = softmax_by_node(g, alpha_tensor(g, stores, tensors[t]));
    return mixing;
  }

  std::vector<TableValues> strengths(const MixedSpace& space,
                                     const std::vector<TableValues>& alphas) const override {
    std::vector<TableValues> tables = AlphaMethod::strengths(space, alphas);
    for (size_t t = kBetas; t < tables.size(); ++t) tables[t] = by_node(alphas.at(t));
    return tables;
  }

  bool moves_alphas(int epoch) const override { return epoch >= warmup_; }

 private:
  static constexpr size_t kBetas = 2;  // from this table of the space on

  int64_t partial_, warmup_;
};

}  // namespace

const AlphaMethodInfo kPcDarts{
    "pc-darts",
    "DARTS on partial channels with weighted edges (Xu et al. 2020)",
    {{"partial", Setting::Type::kInt, "4", "one in so many channels goes through the candidates", 2},
     {"warmup", Setting::Type::kInt, "15", "epochs before the alphas move", 0}},
    {.batch = 256, .lr = 0.1, .lr_min = 0, .arch_lr = 6e-4},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<PcDarts>(s); }};

}  // namespace mixop::nas
