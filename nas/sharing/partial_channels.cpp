#include "nas/sharing/partial_channels.h"

#include "autograd/ops/binary.h"
#include "autograd/ops/concat.h"
#include "autograd/ops/softmax.h"
#include "kernels/core/check.h"
#include "nas/decode.h"

namespace mixop::nas {
namespace {

class PartialChannels final : public MixedSpace {
 public:
  explicit PartialChannels(const SupernetOptions& options) : options_(options), darts_(darts_mixed_space(options)) {
    MIXOP_CHECK(options.partial >= 2, "partial channels: one in ", options.partial,
                " channels is all of them; that is the supernet of DARTS");
  }

  const Space& space() const override { return darts_->space(); }
  std::vector<MixTable> tables() const override {
    std::vector<MixTable> tables = darts_->tables();
    for (const char* name : {"betas_normal", "betas_reduce"}) tables.push_back({name, options_.edges(), {"edge"}});
    return tables;
  }
  std::array<int64_t, 3> image() const override { return darts_->image(); }
  NetworkOutputs build(Graph& g, Value images, Stores& stores, const std::vector<Mixing>& mixing,
                       bool training) const override {
    return build_supernet(g, images, stores, options_, weigh_edges(g, mixing.at(0), mixing.at(2).table),
                          weigh_edges(g, mixing.at(1), mixing.at(3).table), training);
  }
  Arch decode(const std::vector<TableValues>& tables) const override { return darts_->decode(products(tables)); }
  std::string decode_text(const std::vector<TableValues>& tables) const override {
    return darts_->decode_text(products(tables));
  }
  std::vector<RowChoices> path(const Arch& arch) const override {
    std::vector<RowChoices> rows = darts_->path(arch);
    for (int cell = 0; cell < 2; ++cell) {
      RowChoices edges;
      for (const int32_t op : rows[static_cast<size_t>(cell)]) edges.push_back(op < 0 ? -1 : 0);
      rows.push_back(std::move(edges));
    }
    return rows;
  }

 private:
  static std::vector<TableValues> products(const std::vector<TableValues>& tables) {
    std::vector<TableValues> result = {tables.at(0), tables.at(1)};
    for (size_t t = 0; t < result.size(); ++t) {
      const TableValues& betas = tables.at(t + 2);
      for (size_t i = 0; i < result[t].size(); ++i) result[t][i] *= betas[i * betas.size() / result[t].size()];
    }
    return result;
  }

  SupernetOptions options_;
  std::unique_ptr<MixedSpace> darts_;
};

}  // namespace

Value softmax_by_node(Graph& g, Value betas) {
  const kernels::Shape shape = g.shape(betas);
  const Value row = autograd::reshape(g, betas, {1, shape.elements()});
  std::vector<Value> parts;
  for (int64_t begin = 0, edges = 2; begin < shape.elements(); begin += edges++)
    parts.push_back(autograd::softmax(g, autograd::slice(g, row, begin, edges)));
  return autograd::reshape(g, autograd::concat(g, parts), shape);
}

Mixing weigh_edges(Graph& g, const Mixing& mixing, Value edges) {
  Mixing weighed = mixing;
  weighed.table = autograd::mul(g, mixing.table, edges);
  weighed.edges = edges;
  return weighed;
}

std::unique_ptr<MixedSpace> partial_channels_space(const SupernetOptions& options) {
  return std::make_unique<PartialChannels>(options);
}

}  // namespace mixop::nas
