// GDAS (Dong and Yang 2019, arXiv 1910.04465): each step draws one candidate for each edge and carries out that one
// alone; the alphas learn through the straight-through gradient of the drawn one's weight. Weights move first. The
// form is that of the authors' search in the NASNet-like space.
#include <algorithm>
#include <numeric>

#include "nas/decode.h"
#include "nas/search/alpha_methods.h"
#include "nas/search/gumbel.h"

namespace mixop::nas {
namespace {

/// For each row of [rows, columns] the first largest alpha + noise, added in the type that plans add them in.
std::vector<int32_t> largest_sums(const kernels::View& alphas, const std::vector<double>& noise) {
  std::vector<int32_t> largest;
  kernels::with_float(alphas.dtype, [&]<class T>() {
    const T* a = alphas.as<T>();
    const auto sum = [&](int64_t i) { return a[i] + static_cast<T>(noise[static_cast<size_t>(i)]); };
    for (int64_t row = 0; row < alphas.shape.elements(); row += alphas.last()) {
      int32_t best = 0;
      for (int32_t k = 1; k < alphas.last(); ++k)
        if (sum(row + k) > sum(row + best)) best = k;
      largest.push_back(best);
    }
  });
  return largest;
}

/// The two strongest of all candidates of all edges that enter a node, `none` left out; they may share an edge.
CellGenotype strongest_pairs(const TableValues& table, const std::vector<std::string>& columns) {
  CellGenotype cell;
  const auto width = static_cast<int>(columns.size());
  for (int node = 0; edge_count(node) * columns.size() < table.size(); ++node) {
    const double* first = table.data() + static_cast<size_t>(edge_count(node)) * columns.size();
    std::vector<int> rank;
    for (int i = 0; i < (node + 2) * width; ++i)
      if (columns[static_cast<size_t>(i % width)] != "none") rank.push_back(i);
    std::stable_sort(rank.begin(), rank.end(), [&](int a, int b) { return first[a] > first[b]; });
    for (const int i : {rank.at(0), rank.at(1)})
      cell.edges.push_back({parse_op(columns[static_cast<size_t>(i % width)]), i / width});
    cell.concat.push_back(node + 2);
  }
  return cell;
}

class Gdas final : public GumbelMethod {
 public:
  explicit Gdas(const Settings& s) : first_(s.real("temperature")), last_(s.real("temperature_last")) {
    check_temperatures("gdas", first_, last_);
  }

  /// Candidates that are carried out by choice need nodes of their own, whatever lowering was asked for.
  std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const override {
    SupernetOptions reference = options;
    reference.lowering = Lowering::kReference;
    return darts_mixed_space(reference);
  }
  bool weights_first() const override { return true; }
  std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind) const override {
    std::vector<Mixing> mixing;
    for (const Value table : draw(g, stores, space, true))
      mixing.push_back({table, add_choices(g, static_cast<int>(g.shape(table)[0]))});
    return mixing;
  }
  void begin_epoch(int epoch, int epochs) override {
    set_temperature(linear_schedule(first_, last_, epoch, epochs));
  }
  std::vector<int32_t> begin_step(StepKind kind, Stores& stores, const MixedSpace& space, Random& random) override {
    GumbelMethod::begin_step(kind, stores, space, random);
    std::vector<int32_t> choices;
    for (const AlphaTensor& a : alphas(space)) {
      const auto drawn = largest_sums(stores.alphas.view(stores.alphas.find(a.name)), feeds_.at(noise_of(a)));
      choices.insert(choices.end(), drawn.begin(), drawn.end());
    }
    return choices;
  }

  std::string decode(const MixedSpace& space, const std::vector<TableValues>& alphas) const override {
    if (space.space().name() != "darts") return GumbelMethod::decode(space, alphas);
    const std::vector<TableValues> p = strengths(space, alphas);
    const std::vector<MixTable> tables = space.tables();
    return format_genotype(
        {strongest_pairs(p.at(0), tables.at(0).columns), strongest_pairs(p.at(1), tables.at(1).columns), ""});
  }

 private:
  double first_, last_;
};

}  // namespace

// Six cells with reductions in the third and the fifth: the N N R N R N of the authors' code.
const AlphaMethodInfo kGdas{
    "gdas",
    "one candidate drawn for each edge, straight through (Dong and Yang 2019)",
    {{"temperature", Setting::Type::kReal, "10", "of the draws' gradient in the first epoch", 0},
     {"temperature_last", Setting::Type::kReal, "0.1", "in the last epoch", 0}},
    {.epochs = 250, .batch = 256, .cells = 6, .weight_decay = 5e-4, .nesterov = true},
    [](const Settings& s) -> std::unique_ptr<AlphaMethod> { return std::make_unique<Gdas>(s); }};

}  // namespace mixop::nas
