// FairDARTS (Chu et al. 2020, arXiv 1911.12126): every candidate has a gate of its own, sigmoid(alpha), so that
// candidates do not exclude each other and skip connections gain nothing from the others' loss. A zero-one loss
// drives the gates to the ends; a cell keeps those above a threshold, at most two edges a node.
#include <algorithm>
#include <cmath>

#include "autograd/ops/binary.h"
#include "autograd/ops/copy.h"
#include "autograd/ops/reduce.h"
#include "autograd/ops/unary.h"
#include "kernels/core/check.h"
#include "nas/decode.h"
#include "nas/search/alpha_methods.h"

namespace mixop::nas {
namespace {

class FairDarts final : public AlphaMethod {
 public:
  explicit FairDarts(const Settings& s) : weight_(s.real("zero_one")), threshold_(s.real("threshold")) {
    MIXOP_CHECK(threshold_ > 0 && threshold_ < 1, "fair-darts: threshold ", threshold_,
                " is not between 0 and 1, where the gates are");
  }

  /// Without `none`: a closed gate says as much.
  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions without = options;
    std::erase(without.operations, CellOp::none);
    return darts_mixed_space(without);
  }
  void check(const MixedSpace& space) const override {
    MIXOP_CHECK(space.space().name() == "darts", "fair-darts: gates leave out edges, which the space ",
                space.space().name(), " cannot; search darts");
  }
  std::vector<AlphaTensor> alphas(const MixedSpace& space) const override {
    std::vector<AlphaTensor> tensors = AlphaMethod::alphas(space);
    for (AlphaTensor& a : tensors) a.init = autograd::Init::zeros();
    return tensors;
  }
  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind) const override {
    std::vector<Mixing> mixing;
    for (const AlphaTensor& a : alphas(space)) mixing.push_back({gates(g, stores, a)});
    return mixing;
  }
  /// L - weight mean((sigmoid(alpha) - 1/2)^2) over all gates (eq. 6).
  Value alpha_loss(Graph& g, Stores& stores, const MixedSpace& space, Value loss) const override {
    std::vector<Value> squares;
    int64_t count = 0;
    for (const AlphaTensor& a : alphas(space)) {
      const Value off = autograd::sub(g, gates(g, stores, a), autograd::constant(g, {1}, 0.5));
      squares.push_back(autograd::reduce_sum(g, autograd::mul(g, off, off)));
      count += a.shape.elements();
    }
    const Value scale = autograd::constant(g, {1}, weight_ / static_cast<double>(count));
    return autograd::sub(g, loss, autograd::mul(g, autograd::sum(g, squares), scale));
  }

  std::vector<TableValues> strengths(const MixedSpace&, const std::vector<TableValues>& alphas) const override {
    std::vector<TableValues> result = alphas;
    for (TableValues& table : result)
      for (double& v : table) v = 1 / (1 + std::exp(-v));
    return result;
  }
  /// The two strongest edges of each node with their strongest candidates, as DARTS; one whose gate is not above
  /// the threshold is written as `none`. A cell without any gate above it would be no network: it stays as it is.
  std::string decode(const MixedSpace& space, const std::vector<TableValues>& alphas) const override {
    Genotype genotype = parse_genotype(space.decode_text(strengths(space, alphas)));
    for (const CellKind kind : {CellKind::normal, CellKind::reduce}) {
      CellGenotype& cell = kind == CellKind::normal ? genotype.normal : genotype.reduce;
      const std::vector<bool> open = open_edges(space, alphas, cell, kind);
      if (std::count(open.begin(), open.end(), true) == 0) continue;
      for (size_t e = 0; e < open.size(); ++e)
        if (!open[e]) cell.edges[e].op = CellOp::none;
    }
    return format_genotype(genotype);
  }
  std::string remarks(const MixedSpace& space, const std::vector<TableValues>& alphas) const override {
    const Genotype genotype = parse_genotype(space.decode_text(strengths(space, alphas)));
    std::string text;
    for (const CellKind kind : {CellKind::normal, CellKind::reduce}) {
      const std::vector<bool> open = open_edges(space, alphas, genotype.cell(kind), kind);
      text += kernels::text("edges above ", threshold_, " by node of the ", cell_kind_name(kind), " cell:");
      for (size_t e = 0; e < open.size(); e += 2) text += kernels::text(" ", open[e] + open[e + 1]);
      text += std::count(open.begin(), open.end(), true) ? "\n" : ", so that it keeps its two strongest a node\n";
    }
    return text;
  }

 private:
  static Value gates(Graph& g, Stores& stores, const AlphaTensor& a) {
    return autograd::unary(g, alpha_tensor(g, stores, a), kernels::Unary::kSigmoid);
  }
  /// By edge of the cell: its gate is above the threshold.
  std::vector<bool> open_edges(const MixedSpace& space, const std::vector<TableValues>& alphas,
                               const CellGenotype& cell, CellKind kind) const {
    const auto table = static_cast<size_t>(kind);
    const TableValues gates = strengths(space, alphas).at(table);
    const std::vector<std::string> columns = space.tables().at(table).columns;
    std::vector<bool> open;
    for (size_t e = 0; e < cell.edges.size(); ++e) {
      const Edge& edge = cell.edges[e];
      const auto op = std::find(columns.begin(), columns.end(), op_name(edge.op)) - columns.begin();
      const auto row = static_cast<size_t>(edge_count(static_cast<int>(e / 2)) + edge.input);
      open.push_back(gates.at(row * columns.size() + static_cast<size_t>(op)) > threshold_);
    }
    return open;
  }

  double weight_, threshold_;
};

}  // namespace

const AlphaMethodInfo kFairDarts{
    "fair-darts",
    "DARTS with a gate for each candidate (Chu et al. 2020)",
    {{"zero_one", Setting::Type::kReal, "10", "weight of the loss that drives gates to 0 or 1", 0},
     {"threshold", Setting::Type::kReal, "0.85", "gates above it are kept", 0, 1}},
    {.batch = 128, .lr = 0.005, .arch_lr = 3e-3, .arch_beta1 = 0.9},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<FairDarts>(s); }};

}  // namespace mixop::nas
