// A benchmark in the form of NAS-Bench-201's that needs no published data: accuracies by a formula of the
// operations, with a landscape that searches can climb.
#pragma once

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <map>

#include "nas/space/nb201.h"
#include "nas/table/import.h"
#include "nas/table/nb201_index.h"
#include "tests/support/command.h"

namespace mixop::test {

/// Quality of a cell in [0, 1], a little different for each cell: best is 3x3 everywhere.
inline double generated_quality(const nas::Arch& arch, size_t index) {
  constexpr std::array<double, 5> kWorth = {0, 0.4, 0.8, 1, 0.3};
  double sum = 0;
  for (const int32_t op : arch) sum += kWorth[static_cast<size_t>(op)] / 6;
  return 0.98 * sum + 0.02 * static_cast<double>(index * 7919 % 1000) / 1000;
}

struct GeneratedCsv {
  std::string main, trials;
};

/// The text of nb201.csv and nb201_trials.csv.
inline GeneratedCsv generated_nb201() {
  GeneratedCsv csv{
      "index,code,iso_id,n_trials200,params_M,params_recorded_M,flops_M,train_s_per_epoch_c10v,"
      "train_s_per_epoch_c100,train_s_per_epoch_in16,c10_val_12,c10_test_12,c100_val_12,c100_test_12,in16_val_12,"
      "in16_test_12,c10_val_200,c10_test_200,c100_val_200,c100_test_200,in16_val_200,in16_test_200,arch\n",
      "index,trial,c10_val_200,c100_valtest_200,in16_valtest_200\n"};
  const nas::Nb201Space space;
  std::map<nas::ArchKey, size_t> classes;
  for (size_t i = 0; i < nas::nb201_archs().size(); ++i) {
    const nas::Arch& arch = nas::nb201_archs()[i];
    std::string code;
    int n1 = 0, n3 = 0;
    for (const int32_t op : arch) {
      code += static_cast<char>('0' + op);
      n1 += op == 2;
      n3 += op == 3;
    }
    const double q = generated_quality(arch, i), params = 0.073306 + 0.028 * n1 + 0.24304 * n3;
    const double seconds = 3 + n1 + 2 * n3;
    const size_t runs = 2 + i % 2;
    char line[640];
    std::snprintf(line, sizeof line,
                  "%zu,%s,%zu,%zu,%.6f,%.6f,%.5f,%.5f,%.5f,%.5f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,%.4f,"
                  "%.4f,%.4f,%s\n",
                  i, code.c_str(), classes.try_emplace(space.key(arch), classes.size()).first->second, runs, params,
                  params, 7.78305 + 3.93216 * n1 + 35.38944 * n3, seconds, 2 * seconds, 6 * seconds, 10 + 70 * q,
                  12 + 70 * q, 1 + 50 * q, 1.5 + 50 * q, 1 + 30 * q, 1.5 + 30 * q, 10 + 80 * q, 13 + 80 * q,
                  1 + 70 * q, 2 + 70 * q, 1 + 45 * q, 2 + 45 * q, space.format(arch).c_str());
    csv.main += line;
    for (size_t run = 0; run < runs; ++run) {
      const double off = static_cast<double>(run) - static_cast<double>(runs - 1) / 2;
      std::snprintf(line, sizeof line, "%zu,%zu,%.4f,%.4f,%.4f\n", i, run, 10 + 80 * q + off / 2,
                    1.5 + 70 * q + off / 4, 1.5 + 45 * q + off / 4);
      csv.trials += line;
    }
  }
  return csv;
}

/// One file of HW-NAS-Bench: latencies that grow with the convolutions; the Edge TPU was not measured where the
/// index is a multiple of 3.
inline std::string generated_hardware() {
  std::string csv =
      "index,edgegpu_latency_ms,edgegpu_energy_mJ,raspi4_latency_ms,edgetpu_latency_ms,pixel3_latency_ms,"
      "eyeriss_latency_ms,eyeriss_energy_mJ,eyeriss_arithmetic_intensity,fpga_latency_ms,fpga_energy_mJ\n";
  for (size_t i = 0; i < nas::nb201_archs().size(); ++i) {
    double ms = 1;
    for (const int32_t op : nas::nb201_archs()[i]) ms += op == 3 ? 2 : op == 2 ? 1 : op == 4 ? 0.5 : 0;
    char line[256];
    std::snprintf(line, sizeof line, "%zu,%g,%g,%g,%g,%g,%g,%g,%g,%g,%g\n", i, ms, 4 * ms, 6 * ms,
                  i % 3 == 0 ? -1 : ms / 5, 3 * ms, ms + 1, ms / 8, ms / 2, ms / 3, 2 * ms);
    csv += line;
  }
  return csv;
}

/// The files in a directory: nb201.csv, nb201_trials.csv, hw_c10.csv, and the tables nb201.table and hw.table.
class GeneratedTables {
 public:
  GeneratedTables() {
    const GeneratedCsv csv = generated_nb201();
    write(dir_ / "nb201.csv", csv.main);
    write(dir_ / "nb201_trials.csv", csv.trials);
    write(dir_ / "hw_c10.csv", generated_hardware());
    nas::write_table(nb201(),
                     nas::find_table_import("nb201").read({dir_ / "nb201.csv", dir_ / "nb201_trials.csv"}));
    nas::write_table(hardware(), nas::find_table_import("hwnasbench").read({dir_ / "hw_c10.csv"}));
  }
  std::filesystem::path operator/(const std::string& name) const { return dir_ / name; }
  std::string nb201() const { return (dir_ / "nb201.table").string(); }
  std::string hardware() const { return (dir_ / "hw.table").string(); }

 private:
  TemporaryDirectory dir_;
};

/// Made once for all tests of a program.
inline const GeneratedTables& generated_tables() {
  static const GeneratedTables tables;
  return tables;
}

}  // namespace mixop::test
