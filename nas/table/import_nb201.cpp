// NAS-Bench-201 (Dong and Yang 2020) and what others measured of its cells.
#include <algorithm>
#include <cmath>
#include <map>

#include "nas/space/nb201.h"
#include "nas/table/import_detail.h"
#include "nas/table/nb201_index.h"

namespace mixop::nas {
namespace {

namespace fs = std::filesystem;
using Paths = std::vector<fs::path>;

struct DatasetName {
  std::string prefix, name;
};
const std::vector<DatasetName> kDatasets = {{"c10", "cifar10"}, {"c100", "cifar100"}, {"in16", "ImageNet16-120"}};

std::vector<ColumnSource> main_columns() {
  std::vector<ColumnSource> all = {
      {{"iso_id", "", "class of cells that are the same network"}, 0, 6465},
      {{"n_trials200", "", "training runs of 200 epochs"}, 1, 3},
      {{"params_M", "M", "parameters with 10 classes, by formula"}},
      {{"params_recorded_M", "M", "parameters as recorded"}},
      {{"flops_M", "M", "multiply-adds of one CIFAR-10 image, by formula"}},
  };
  for (const DatasetName& d : kDatasets)
    all.push_back({{"train_s_per_epoch_" + d.prefix + (d.prefix == "c10" ? "v" : ""), "s",
                    "training time of an epoch (one GTX 1080 Ti)", d.name, "seconds"},
                   1e-3});
  for (const int epochs : {12, 200})
    for (const DatasetName& d : kDatasets)
      for (const std::string part : {"val", "test"})
        all.push_back(accuracy_source(kernels::text(d.prefix, "_", part, "_", epochs),
                                      kernels::text(part == "val" ? "validation" : "test", " accuracy after ",
                                                    epochs, " epochs, mean of all runs"),
                                      d.name, part, epochs));
  return all;
}

void expect_near(const Csv& csv, size_t row, double value, double expected, double within, const char* what) {
  if (!(std::abs(value - expected) <= within)) csv.fail(row, what, " is ", value, " instead of ", expected);
}

double column_value(const TableContent& content, const std::string& name, size_t row) {
  for (size_t c = 0; c < content.columns.size(); ++c)
    if (content.columns[c].name == name) return content.values[c][row];
  kernels::fail("no column ", name);
}

// The single runs: three columns for each of the file's, checked against the means.
void import_trials(TableContent& content, const fs::path& file) {
  struct Runs {
    std::string column, dataset, measure;
    std::vector<std::string> mean_of;
  };
  const std::vector<Runs> kinds = {
      {"c10_val_200", "cifar10", "val", {"c10_val_200"}},
      {"c100_valtest_200", "cifar100", "valtest", {"c100_val_200", "c100_test_200"}},
      {"in16_valtest_200", "ImageNet16-120", "valtest", {"in16_val_200", "in16_test_200"}}};
  std::vector<std::string> names = {"index", "trial"};
  for (const Runs& k : kinds) names.push_back(k.column);
  const Csv csv(file, names);
  const size_t rows = content.archs.size();
  // [kind * 3 + trial][row]
  std::vector<std::vector<double>> values(kinds.size() * 3, std::vector<double>(rows, std::nan("")));
  size_t line = 0;
  for (size_t row = 0; row < rows; ++row) {
    const auto runs = static_cast<size_t>(column_value(content, "n_trials200", row));
    std::vector<double> sums(kinds.size());
    for (size_t trial = 0; trial < runs; ++trial, ++line) {
      if (line >= csv.rows() || csv.index(line, 0, rows) != row || csv.index(line, 1, 3) != trial)
        csv.fail(line, "run ", trial, " of architecture ", row, " is missing: ", runs, " runs are recorded");
      for (size_t k = 0; k < kinds.size(); ++k)
        sums[k] += values[k * 3 + trial][row] = csv.number(line, 2 + k, 0, 100);
    }
    for (size_t k = 0; k < kinds.size(); ++k) {
      double mean = 0;
      for (const std::string& name : kinds[k].mean_of)
        mean += column_value(content, name, row) / static_cast<double>(kinds[k].mean_of.size());
      expect_near(
          csv, line - 1, sums[k] / static_cast<double>(runs), mean, 1e-3,
          ("the mean of the runs of architecture " + std::to_string(row) + " in " + kinds[k].column).c_str());
    }
  }
  if (line < csv.rows()) csv.fail(line, "one run more than are recorded");
  for (size_t k = 0; k < kinds.size(); ++k)
    for (int trial = 0; trial < 3; ++trial) {
      content.columns.push_back({kernels::text(kinds[k].column, "_run", trial), "%",
                                 kernels::text(kinds[k].measure == "val" ? "validation" : "validation and test",
                                               " accuracy after 200 epochs, run ", trial),
                                 kinds[k].dataset, kinds[k].measure, 200, trial});
      content.values.push_back(std::move(values[k * 3 + static_cast<size_t>(trial)]));
    }
}

// "c10" of "nb201_zcproxies_c10.csv".
const DatasetName& dataset_of(const fs::path& file) {
  const std::string stem = file.stem().string();
  for (const DatasetName& d : kDatasets)
    if (stem.ends_with("_" + d.prefix)) return d;
  kernels::fail(file.string(), ": the name must end in _c10.csv, _c100.csv or _in16.csv, which tells the data set");
}

// Files with one line for each of the same indices, a file for each data set.
TableContent import_by_index(const Paths& files, std::vector<ColumnSource> (*columns_of)(const DatasetName&),
                             bool all_rows) {
  TableContent content{.space = "nb201", .source = names_of(files), .archs = {}, .columns = {}, .values = {}};
  const std::vector<Arch>& order = nb201_archs();
  for (const fs::path& file : files) {
    const DatasetName& dataset = dataset_of(file);
    std::vector<ColumnSource> sources = columns_of(dataset);
    const Csv csv(file, column_names({"index"}, sources));
    std::vector<Arch> archs;
    size_t last = 0;
    for (size_t row = 0; row < csv.rows(); ++row) {
      const size_t index = csv.index(row, 0, order.size());
      if (all_rows ? index != row : row > 0 && index <= last) csv.fail(row, "index ", index, " is out of order");
      last = index;
      archs.push_back(order[index]);
    }
    MIXOP_CHECK(!all_rows || archs.size() == order.size(), file.string(), " has ", archs.size(),
                " rows instead of ", order.size());
    MIXOP_CHECK(content.archs.empty() || content.archs == archs, file.string(), " has other architectures than ",
                files[0].string());
    content.archs = std::move(archs);
    for (size_t c = 0; c < sources.size(); ++c) {
      sources[c].column.name = dataset.prefix + "_" + sources[c].column.name;
      import_column(content, csv, c + 1, sources[c]);
    }
  }
  return content;
}

}  // namespace

TableContent import_nb201(const Paths& files) {
  fs::path main, trials;
  for (const fs::path& file : files) {
    const auto names = Csv::header(file);
    fs::path& which = std::count(names.begin(), names.end(), "trial") ? trials : main;
    MIXOP_CHECK(which.empty(), which.string(), " and ", file.string(), " hold the same; give one");
    which = file;
  }
  MIXOP_CHECK(!main.empty(), "the file with the means (nb201.csv) is missing");
  const std::vector<ColumnSource> sources = main_columns();
  const Csv csv(main, column_names({"index", "code", "arch"}, sources));
  const std::vector<Arch>& order = nb201_archs();
  const Nb201Space space;
  TableContent content{.space = "nb201", .source = names_of(files), .archs = {}, .columns = {}, .values = {}};
  for (size_t row = 0; row < csv.rows(); ++row) {
    const Arch arch = space.parse(csv.field(row, 1));
    if (arch != space.parse(csv.field(row, 2)))
      csv.fail(row, "code ", csv.field(row, 1), " is not ", csv.field(row, 2));
    if (csv.index(row, 0, order.size()) != row || arch != order[row])
      csv.fail(row, "architecture ", csv.field(row, 1), " has index ", csv.field(row, 0), ", not its official one");
    content.archs.push_back(arch);
  }
  MIXOP_CHECK(csv.rows() == order.size(), main.string(), " has ", csv.rows(), " rows instead of ", order.size());
  for (size_t c = 0; c < sources.size(); ++c) import_column(content, csv, c + 3, sources[c]);
  std::map<ArchKey, double> classes;  // numbered by first appearance
  for (size_t row = 0; row < csv.rows(); ++row) {
    const Arch& arch = content.archs[row];
    const double number = classes.try_emplace(space.key(arch), classes.size()).first->second;
    expect_near(csv, row, column_value(content, "iso_id", row), number, 0, "iso_id");
    const auto n1x1 = static_cast<double>(std::count(arch.begin(), arch.end(), 2));
    const auto n3x3 = static_cast<double>(std::count(arch.begin(), arch.end(), 3));
    expect_near(csv, row, column_value(content, "params_M", row), 0.073306 + 0.028 * n1x1 + 0.24304 * n3x3, 1e-6,
                "params_M");
    expect_near(csv, row, column_value(content, "flops_M", row), 7.78305 + 3.93216 * n1x1 + 35.38944 * n3x3, 1e-5,
                "flops_M");
  }
  if (!trials.empty()) import_trials(content, trials);
  return content;
}

TableContent import_hwnasbench(const Paths& files) {
  return import_by_index(
      files,
      [](const DatasetName& dataset) {
        const auto cost = [&](const char* name, const char* unit, const char* what,
                              std::optional<double> absent = {}) {
          return ColumnSource{
              {name, unit, std::string(what) + ", images of " + dataset.name}, 1e-9, 1e9, 1, absent};
        };
        return std::vector<ColumnSource>{
            cost("edgegpu_latency_ms", "ms", "latency on Jetson TX2"),
            cost("edgegpu_energy_mJ", "mJ", "energy on Jetson TX2"),
            cost("raspi4_latency_ms", "ms", "latency on Raspberry Pi 4"),
            cost("edgetpu_latency_ms", "ms", "latency on Edge TPU", -1.0),
            cost("pixel3_latency_ms", "ms", "latency on Pixel 3"),
            cost("eyeriss_latency_ms", "ms", "latency on Eyeriss"),
            cost("eyeriss_energy_mJ", "mJ", "energy on Eyeriss"),
            cost("eyeriss_arithmetic_intensity", "", "arithmetic intensity on Eyeriss"),
            cost("fpga_latency_ms", "ms", "latency on FPGA"),
            cost("fpga_energy_mJ", "mJ", "energy on FPGA")};
      },
      true);
}

TableContent import_nb201_proxies(const Paths& files) {
  return import_by_index(
      files,
      [](const DatasetName& dataset) {
        std::vector<ColumnSource> all;
        for (const char* name : {"epe_nas", "fisher", "flops", "grad_norm", "grasp", "jacov", "l2_norm", "nwot",
                                 "params", "plain", "snip", "synflow", "zen"})
          all.push_back({{name, "", "zero-cost score on " + dataset.name}, -1e7, 1e300, 1, -1e8});
        return all;
      },
      false);
}

}  // namespace mixop::nas
