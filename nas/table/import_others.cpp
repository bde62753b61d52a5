// NAS-Bench-101 (Ying et al. 2019) and NAS-Bench-Macro (Su et al. 2021).
#include <cmath>

#include "nas/space/nb101.h"
#include "nas/space/nbmacro.h"
#include "nas/table/import_detail.h"

namespace mixop::nas {
namespace {

const std::filesystem::path& only_file(const std::vector<std::filesystem::path>& files) {
  MIXOP_CHECK(files.size() == 1, "one file is wanted, ", files.size(), " are given");
  return files[0];
}

// Runs `read`, whose Error says what is wrong with an architecture, and adds the place to it.
template <class Read>
Arch arch_at(const Csv& csv, size_t row, const Read& read) {
  try {
    return read();
  } catch (const Error& e) {
    csv.fail(row, e.what());
  }
}

}  // namespace

TableContent import_nb101(const std::vector<std::filesystem::path>& files) {
  std::vector<ColumnSource> sources = {{{"rank", "", "place of the graph's hash among all 423,624"}, 0, 423623},
                                       {{"params", "", "trainable parameters"}, 1}};
  for (const int epochs : {4, 12, 36, 108}) {
    sources.push_back(accuracy_source(kernels::text("val_acc_", epochs),
                                      kernels::text("validation accuracy after ", epochs, " epochs, one run"),
                                      "cifar10", "val", epochs));
    sources.back().most = 1;
    sources.back().scale = 100;
  }
  // The recorded time is that of the whole schedule.
  sources.push_back(
      {{"train_time_108_s", "s", "training time of an epoch (TPU v2)", "cifar10", "seconds"}, 1, 1e9});
  sources.back().scale = 1.0 / 108;
  const Csv csv(only_file(files), column_names({"hash", "n_vertices", "adj_upper", "ops"}, sources));
  TableContent content{
      .space = "nb101", .source = names_of(files), .by_class = true, .archs = {}, .columns = {}, .values = {}};
  const Nb101Space space;
  for (size_t row = 0; row < csv.rows(); ++row) {
    const Arch arch =
        arch_at(csv, row, [&] { return space.parse(kernels::text(csv.field(row, 2), ":", csv.field(row, 3))); });
    const Nb101Graph graph = nb101_graph(arch);
    if (graph.vertices != csv.number(row, 1, 2, 7) || nb101_hash(graph) != csv.field(row, 0))
      csv.fail(row, "the hash of the graph is ", nb101_hash(graph), ", not ", csv.field(row, 0));
    content.archs.push_back(arch);
  }
  for (size_t c = 0; c < sources.size(); ++c) import_column(content, csv, c + 4, sources[c]);
  content.columns.back().name = "train_s_per_epoch";
  return content;
}

TableContent import_nbmacro(const std::vector<std::filesystem::path>& files) {
  std::vector<ColumnSource> sources;
  // The benchmark has no validation part: searches see what is reported.
  for (int run = 0; run < 3; ++run)
    sources.push_back(accuracy_source(kernels::text("test_acc_", run),
                                      kernels::text("CIFAR-10 test accuracy after 50 epochs, run ", run), "cifar10",
                                      "val", 50, run));
  sources.push_back(
      accuracy_source("mean_acc", "CIFAR-10 test accuracy after 50 epochs, mean of 3 runs", "cifar10", "val", 50));
  sources.push_back({{"std", "%", "deviation of the runs"}, 0, 100});
  sources.push_back({{"params", "", "parameters"}, 1});
  sources.push_back({{"flops", "", "multiply-adds of one image"}, 1});
  const Csv csv(only_file(files), column_names({"arch"}, sources));
  TableContent content{.space = "nbmacro", .source = names_of(files), .archs = {}, .columns = {}, .values = {}};
  const NbMacroSpace space;
  for (size_t row = 0; row < csv.rows(); ++row)
    content.archs.push_back(arch_at(csv, row, [&] { return space.parse(csv.field(row, 0)); }));
  MIXOP_CHECK(static_cast<double>(csv.rows()) == space.count(), csv.file(), " has ", csv.rows(),
              " rows instead of ", space.count());
  for (size_t c = 0; c < sources.size(); ++c) import_column(content, csv, c + 1, sources[c]);
  for (size_t row = 0; row < csv.rows(); ++row) {
    const double mean = (content.values[0][row] + content.values[1][row] + content.values[2][row]) / 3;
    if (std::abs(mean - content.values[3][row]) > 1e-3)
      csv.fail(row, "mean_acc is ", content.values[3][row], ", the mean of the runs ", mean);
  }
  return content;
}

}  // namespace mixop::nas
