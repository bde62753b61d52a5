// mixop table: published tables of strategies, run again.
#include <algorithm>
#include <cstdio>
#include <memory>

#include "kernels/core/check.h"
#include "nas/cli/commands.h"
#include "nas/cli/comparison_options.h"
#include "nas/cli/usage.h"
#include "nas/table/published.h"

namespace mixop::cli {
namespace {

struct PublishedTable : ComparisonOptions {
  std::string protocol = "nasbench201", rows = "published";

  struct Row {
    nas::StrategyChoice choice;
    const nas::PublishedRow* published = nullptr;
  };

  std::vector<Row> chosen(const nas::PublishedProtocol& p) const {
    std::vector<Row> all;
    if (rows == "published" || rows == "all") {
      for (const nas::PublishedRow& row : p.rows) {
        all.push_back({nas::parse_strategy(row.strategy), &row});
        all.back().choice.label = row.method;
      }
    }
    const auto listed = [&](const nas::StrategyInfo* s) {
      return std::any_of(all.begin(), all.end(), [&](const Row& row) { return row.choice.info == s; });
    };
    if (rows == "all") {
      for (const nas::StrategyInfo* s : nas::strategies())
        if (!listed(s)) all.push_back({nas::parse_strategy(s->name)});
    } else if (rows != "published") {
      for (nas::StrategyChoice& choice : nas::parse_strategies(rows)) all.push_back({std::move(choice)});
    }
    return all;
  }

  int run() const {
    const nas::PublishedProtocol& p = nas::find_published_protocol(protocol);
    const nas::Table table = open();
    if (table.space().name() != "nb201")
      throw UsageError("--table: " + tables[0] + " is a table over " + table.space().name() + ", not over nb201");
    const auto searches = nas::compared_searches(table, p);
    nas::Comparison comparison{
        .title = p.title + kernels::text("; mean and standard deviation of ", seeds, " seeds"),
        .headings = {},
        .rows = {}};
    for (const nas::ComparedSearch& s : searches)
      for (const nas::ReportedColumn& r : s.reports) comparison.headings.push_back(r.heading);
    std::vector<std::vector<nas::LabelledRuns>> runs;
    for (const Row& row : chosen(p)) {
      try {
        run_row(table, searches, row.choice, comparison, runs);
      } catch (const Error& e) {
        if (rows != "all" || row.published) throw;
        std::fprintf(stderr, "%s: left out: %s\n", row.choice.label.c_str(), e.what());
        continue;
      }
      if (!row.published) continue;
      nas::ComparisonRow& last = comparison.rows.back();
      last.published.assign(row.published->figures.begin(), row.published->figures.end());
      last.note = row.published->strategy + (row.published->note.empty() ? "" : "; " + row.published->note);
    }
    write(table, searches, comparison, runs);
    return kOk;
  }
};

}  // namespace

void add_table(CLI::App& app, Action& action) {
  CLI::App* command =
      app.add_subcommand("table", "Run the strategies of a published table again, beside its figures");
  command->require_subcommand(1);
  auto options = std::make_shared<PublishedTable>();
  CLI::App* nb201 = command->add_subcommand("nasbench201", "Black-box rows of NAS-Bench-201 and NATS-Bench");
  options->add_to(*nb201);
  nb201->add_option("--protocol", options->protocol, "nasbench201 or nats")
      ->check(CLI::IsMember({"nasbench201", "nats"}));
  nb201->add_option("--rows", options->rows,
                    "published, all (every strategy that fits), or strategies NAME[:SETTING=VALUE,..],..");
  nb201->callback([options, &action] { action = [options] { return options->run(); }; });
}

}  // namespace mixop::cli
