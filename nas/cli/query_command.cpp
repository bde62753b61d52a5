// mixop query: what a table knows of an architecture, one JSON line each.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/usage.h"
#include "nas/json.h"
#include "nas/table/table.h"

namespace mixop::cli {
namespace {

struct Query {
  std::vector<std::string> tables, archs;
  std::string metric, dataset;
  int epochs = 0;

  bool asks_for(const nas::TableColumn& c) const {
    return (metric.empty() || c.name == metric || c.measure == metric) &&
           (dataset.empty() || c.dataset == dataset) && (epochs == 0 || c.epochs == epochs);
  }

  int run() const {
    const nas::Table table = nas::Table::open(tables);
    std::vector<size_t> columns;
    for (size_t i = 0; i < table.columns().size(); ++i)
      if (asks_for(table.columns()[i])) columns.push_back(i);
    if (columns.empty()) {
      std::vector<std::string> known;
      for (const nas::TableColumn& c : table.columns()) known.push_back(c.name);
      kernels::fail("the table has nothing that fits --metric, --dataset and --epochs; its columns are: ",
                    join(known));
    }
    for (const std::string& text : archs) {
      const nas::Arch arch = nas::parse_arch(table, text);
      const auto row = table.find(arch);
      MIXOP_CHECK(row, "architecture ", table.space().format(arch), " is not in the table");
      nas::Json line = {{"arch", table.space().format(arch)}, {"index", nas::arch_index(table, *row)}};
      for (const size_t c : columns) line[table.columns()[c].name] = table.value(*row, c);
      std::printf("%s\n", line.dump().c_str());
    }
    return kOk;
  }
};

}  // namespace

void add_query(CLI::App& app, Action& action) {
  auto options = std::make_shared<Query>();
  CLI::App* command =
      app.add_subcommand("query", "What a benchmark table knows of an architecture, as a line of JSON");
  command
      ->add_option("--table", options->tables, "Table of `mixop data import`; several are joined by architecture")
      ->required();
  command
      ->add_option("--arch", options->archs,
                   "Text or digits of the space, or '#' and the index; several: a line each")
      ->required();
  command->add_option("--metric", options->metric,
                      "Name of a column, or val, test, valtest, seconds; default: all");
  command->add_option("--dataset", options->dataset, "Only of this data set (cifar10, cifar100, ImageNet16-120)");
  command->add_option("--epochs", options->epochs, "Only accuracies of this schedule")
      ->check(CLI::NonNegativeNumber);
  command->callback([options, &action] { action = [options] { return options->run(); }; });
}

}  // namespace mixop::cli
