// Benchmark tables: what is imported is found again, damage and contradictions are named, searches follow the
// protocol.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "kernels/core/check.h"
#include "nas/table/published.h"
#include "tests/support/generated_table.h"

namespace mixop::test {
namespace {

using nas::Arch, nas::Table, nas::TableEvaluator;

std::string error_of(const auto& action) {
  try {
    action();
  } catch (const Error& e) {
    return e.what();
  }
  return "no error";
}

void expect_error(const auto& action, const std::vector<std::string>& parts) {
  const std::string message = error_of(action);
  for (const std::string& part : parts)
    EXPECT_NE(message.find(part), std::string::npos) << part << " in: " << message;
}

const Table& generated() {
  static const Table table = Table::open({generated_tables().nb201(), generated_tables().hardware()});
  return table;
}

TEST(Nb201Index, IsTheOfficialOne) {
  const auto& archs = nas::nb201_archs();
  EXPECT_EQ(archs.size(), 15625u);
  EXPECT_EQ(std::set<Arch>(archs.begin(), archs.end()).size(), 15625u);
  EXPECT_EQ(archs[0], (Arch{4, 2, 1, 2, 1, 1}));
  EXPECT_EQ(archs[11], (Arch{3, 3, 4, 0, 3, 4}));
  EXPECT_EQ(archs[284], (Arch{1, 1, 1, 0, 2, 0}));
  EXPECT_EQ(archs[1462], Arch(6, 3));
  EXPECT_EQ(archs[1835], Arch(6, 1));
}

TEST(Table, FindsWhatWasImported) {
  const Table& table = generated();
  EXPECT_EQ(table.rows(), 15625u);
  EXPECT_EQ(table.columns().size(), 29u + 10u);
  for (size_t row = 0; row < table.rows(); ++row) {
    const Arch& arch = nas::nb201_archs()[row];
    ASSERT_EQ(table.arch(row), arch);
    ASSERT_EQ(table.find(arch), row);
    ASSERT_NEAR(table.value(row, table.column("c10_val_12")), 10 + 70 * generated_quality(arch, row), 1e-4);
    ASSERT_EQ(std::isnan(table.value(row, table.column("c10_val_200_run2"))), row % 2 == 0);
    ASSERT_EQ(std::isnan(table.value(row, table.column("c10_edgetpu_latency_ms"))), row % 3 == 0);
  }
  EXPECT_FALSE(table.find({1, 2, 3}));
  EXPECT_EQ(table.columns()[table.column("c10_pixel3_latency_ms")].unit, "ms");
  expect_error([&] { table.column("c10_val_13"); }, {"c10_val_13", "c10_val_12"});
}

TEST(Table, ArchitecturesByTextDigitsAndIndex) {
  const Table& table = generated();
  EXPECT_EQ(nas::parse_arch(table, "#1462"), Arch(6, 3));
  EXPECT_EQ(nas::parse_arch(table, "333333"), Arch(6, 3));
  EXPECT_EQ(nas::arch_index(table, *table.find(Arch(6, 3))), 1462u);
  for (const std::string wrong : {"#15625", "#-1", "#", "#12x"})
    expect_error([&] { nas::parse_arch(table, wrong); }, {wrong, "15624"});
}

TEST(Table, JoinsWhatIsTheSameSpaceOnce) {
  const std::string nb201 = generated_tables().nb201();
  expect_error([&] { Table::open({nb201, nb201}); }, {"iso_id", "nb201.table"});
}

TEST(Table, EveryDamageIsFound) {
  // A few rows, so that a flip of each byte can be tried.
  const TemporaryDirectory dir;
  nas::TableContent content{.space = "nb201", .source = "a test", .archs = {}, .columns = {}, .values = {}};
  for (size_t i = 0; i < 5; ++i) content.archs.push_back(nas::nb201_archs()[i]);
  content.columns.push_back({"x", "", "a number"});
  content.values.push_back({1, 2, 3, 4, 5});
  const std::filesystem::path good = dir / "good.table", bad = dir / "bad.table";
  nas::write_table(good, content);
  EXPECT_EQ(Table::open(good).value(3, 0), 4);
  const std::string bytes = read(good);
  for (size_t i = 0; i < bytes.size(); ++i) {
    std::string flipped = bytes;
    flipped[i] = static_cast<char>(flipped[i] ^ 4);
    write(bad, flipped);
    ASSERT_THROW(Table::open(bad), Error) << "byte " << i;
  }
  for (size_t length = 0; length < bytes.size(); ++length) {
    write(bad, bytes.substr(0, length));
    ASSERT_THROW(Table::open(bad), Error) << "length " << length;
  }
  write(bad, bytes + "x");
  expect_error([&] { Table::open(bad); }, {"bad.table", "damaged", "import it again"});
  write(bad, "index,code\n");
  expect_error([&] { Table::open(bad); }, {"bad.table", "no table", "mixop data import"});
  expect_error([&] { Table::open(dir.path()); }, {"no table"});
  expect_error([&] { Table::open(dir / "absent"); }, {"absent", "No such file"});

  content.archs[4] = content.archs[1];
  expect_error([&] { nas::write_table(bad, content); }, {"rows 1 and 4", "same architecture"});
}

// The text with the n-th occurrence (from 0) of one word replaced by another.
std::string edited(std::string text, const std::string& from, const std::string& to) {
  const size_t at = text.find(from);
  EXPECT_NE(at, std::string::npos) << from;
  return text.replace(at, from.size(), to);
}

TEST(Import, ContradictionsAreNamed) {
  const TemporaryDirectory dir;
  const GeneratedCsv csv = generated_nb201();
  const auto expect = [&](const std::string& main, const std::string& trials,
                          const std::vector<std::string>& parts) {
    write(dir / "nb201.csv", main);
    write(dir / "nb201_trials.csv", trials);
    expect_error(
        [&] {
          nas::find_table_import("nb201").read({dir / "nb201.csv", dir / "nb201_trials.csv"});
        },
        parts);
  };
  expect(edited(csv.main, "iso_id", "izo_id"), csv.trials, {"nb201.csv", "no column 'iso_id'"});
  expect(edited(csv.main, ",arch\n", ",arch,colour\n"), csv.trials, {"unknown column 'colour'"});
  const size_t second = csv.main.find("\n1,") + 1, third = csv.main.find("\n2,") + 1;
  expect(csv.main.substr(0, second) + csv.main.substr(third), csv.trials, {"line 3", "index 2"});
  expect(csv.main.substr(0, csv.main.rfind("\n15624,") + 1), csv.trials, {"15624 rows instead of 15625"});
  expect(edited(csv.main, "\n1,334131", "\n1,334132"), csv.trials, {"line 3", "code 334132"});
  expect(edited(csv.main, "\n1,", "\n7,"), csv.trials, {"line 3", "index 7"});
  expect(edited(csv.main, "0.129306,", "0.229306,"), csv.trials, {"line 2", "params_M", "0.129306"});
  expect(edited(csv.main, "\n2,433444,2,", "\n2,433444,1,"), csv.trials, {"line 4", "iso_id is 1 instead of 2"});
  // The accuracies of the first architecture: its fields 10 and 16.
  const std::string line = csv.main.substr(csv.main.find("\n0,"), second - csv.main.find("\n0,"));
  const auto with_field = [&](size_t field, const std::string& value) {
    size_t at = 0;
    for (size_t f = 0; f < field; ++f) at = line.find(',', at) + 1;
    return edited(csv.main, line, line.substr(0, at) + value + line.substr(line.find(',', at)));
  };
  expect(with_field(10, "100.5"), csv.trials, {"line 2", "c10_val_12", "100.5", "0 to 100"});
  expect(with_field(10, "nan"), csv.trials, {"line 2", "c10_val_12", "nan"});
  expect(with_field(10, ""), csv.trials, {"line 2", "c10_val_12", "no number"});
  expect(with_field(16, "50"), csv.trials, {"nb201_trials.csv", "architecture 0", "c10_val_200", "50"});
  expect(csv.main, edited(csv.trials, "\n1,2,", "\n1,1,"), {"nb201_trials.csv", "run 2 of architecture 1"});
  expect(csv.main, csv.trials + "15624,2,1,1,1\n", {"one run more"});
  expect(csv.main + "1,2\n", csv.trials, {"line 15627", "2 fields instead of 23"});
  expect_error([] { nas::find_table_import("nb202"); }, {"nb202", "nb201"});
}

TEST(Import, MacroAndGraphs) {
  const TemporaryDirectory dir;
  std::string csv = "arch,test_acc_0,test_acc_1,test_acc_2,mean_acc,std,params,flops\n";
  for (int code = 0; code < 6561; ++code) {
    for (int layer = 0, power = 2187; layer < 8; ++layer, power /= 3)
      csv += static_cast<char>('0' + code / power % 3);
    csv += ",80,81,82,81,0.8,1000,2000\n";
  }
  const auto import = [&](const char* kind, const std::string& text) {
    write(dir / "file.csv", text);
    nas::write_table(dir / "t.table", nas::find_table_import(kind).read({dir / "file.csv"}));
    return Table::open(std::filesystem::path(dir / "t.table"));
  };
  const Table macro = import("nbmacro", csv);
  EXPECT_EQ(macro.find(macro.space().parse("22222222")), 6560u);
  EXPECT_EQ(TableEvaluator(macro, {.objectives = {}}).protocol().epochs, 50);
  EXPECT_FALSE(TableEvaluator(macro, {.objectives = {}}).timed());
  expect_error([&] { import("nbmacro", edited(csv, "82,81", "82,80")); }, {"line 2", "mean_acc"});

  const std::string head =
      "hash,rank,n_vertices,adj_upper,ops,params,val_acc_4,val_acc_12,val_acc_36,val_acc_108,train_time_108_s\n";
  const std::string row =
      "00005c142e6f48ac74fdcf73e3439874,0,7,100110100001001010101,02001,8555530,0.36,0.42,0.9,0.93,1080\n";
  const Table graphs = import("nb101", head + row);
  TableEvaluator evaluator(graphs, {.epochs = 108, .objectives = {}});
  const Arch arch = graphs.arch(0);
  EXPECT_EQ(evaluator.evaluate({.id = 0, .arch = arch, .epochs = 5}).accuracy, 42);
  EXPECT_NEAR(evaluator.evaluate({.id = 0, .arch = arch, .epochs = 5}).cost, 12 * 10 + 2.39, 1e-9);
  EXPECT_EQ(evaluator.evaluate({.id = 0, .arch = arch}).accuracy, 93);
  const nas::Outcome unknown = evaluator.evaluate({.id = 0, .arch = graphs.space().parse("1:")});
  EXPECT_TRUE(unknown.failed);
  EXPECT_NEAR(unknown.cost, 2.39, 1e-9);
  expect_error([&] { import("nb101", head + edited(row, "02001", "02002")); }, {"line 2", "hash"});
  expect_error([&] { import("nb101", head + edited(row, "10101,", "1010,")); }, {"line 2", "nb101"});
}

TEST(TableEvaluator, FollowsTheProtocol) {
  const Table& table = generated();
  const Arch arch = nas::nb201_archs()[7];
  const auto value = [&](const char* name) { return table.value(7, table.column(name)); };
  TableEvaluator plain(table, {.objectives = {}});
  EXPECT_EQ(plain.protocol().epochs, 12);
  nas::Outcome o = plain.evaluate({.id = 0, .arch = arch});
  EXPECT_EQ(o.accuracy, value("c10_val_12"));
  EXPECT_NEAR(o.cost, 12 * value("train_s_per_epoch_c10v") + 2.39, 1e-9);
  EXPECT_TRUE(o.objectives.empty());
  // A table knows no accuracy of 4 epochs, and the protocol's schedule is the longest.
  EXPECT_EQ(plain.evaluate({.id = 0, .arch = arch, .epochs = 4}).cost, o.cost);
  EXPECT_EQ(plain.evaluate({.id = 0, .arch = arch, .epochs = 100}).cost, o.cost);

  TableEvaluator longer(table, {.dataset = "cifar100", .epochs = 200, .objectives = {}});
  o = longer.evaluate({.id = 0, .arch = arch});
  EXPECT_EQ(o.accuracy, value("c100_val_200"));
  EXPECT_NEAR(o.cost, 200 * value("train_s_per_epoch_c100") + 2.39, 1e-9);
  EXPECT_EQ(longer.evaluate({.id = 0, .arch = arch, .epochs = 5}).accuracy, value("c100_val_12"));

  TableEvaluator several(table, {.objectives = {"c10_edgetpu_latency_ms", "params_M"}});
  o = several.evaluate({.id = 0, .arch = arch});
  EXPECT_EQ(o.objectives, (std::vector{100 - o.accuracy, value("c10_edgetpu_latency_ms"), value("params_M")}));
  o = several.evaluate({.id = 0, .arch = nas::nb201_archs()[6]});
  EXPECT_TRUE(o.failed);
  EXPECT_TRUE(o.objectives.empty());
  EXPECT_NE(o.reason.find("c10_edgetpu_latency_ms"), std::string::npos);

  expect_error([&] { TableEvaluator(table, {.dataset = "mnist", .objectives = {}}); },
               {"mnist", "cifar10, cifar100"});
  expect_error([&] { TableEvaluator(table, {.epochs = 50, .objectives = {}}); }, {"50 epochs", "12, 200"});
  expect_error([&] { TableEvaluator(table, {.objectives = {"speed"}}); }, {"speed"});
}

TEST(TableEvaluator, DrawsOneOfTheRuns) {
  const Table& table = generated();
  nas::TableProtocol protocol{
      .epochs = 200, .noise = nas::TableProtocol::Noise::kTrial, .seed = 5, .objectives = {}};
  TableEvaluator first(table, protocol), again(table, protocol);
  for (const size_t row : {4u, 7u}) {  // of two and of three runs
    std::set<double> seen, runs;
    for (int64_t id = 0; id < 40; ++id) {
      const double a = first.evaluate({.id = id, .arch = nas::nb201_archs()[row]}).accuracy;
      seen.insert(a);
      EXPECT_EQ(a, again.evaluate({.id = id, .arch = nas::nb201_archs()[row]}).accuracy);
    }
    for (size_t run = 0; run < 2 + row % 2; ++run)
      runs.insert(table.value(row, table.column(kernels::text("c10_val_200_run", run))));
    EXPECT_EQ(seen, runs);
  }
  protocol.epochs = 12;
  expect_error([&] { TableEvaluator(table, protocol); }, {"single runs", "200"});
}

TEST(Seeds, AreTheSameForAnyNumberOfThreads) {
  const nas::TableSearch search{.protocol = {.objectives = {}}, .budget = {.seconds = 5000}};
  for (const char* name : {"random", "regularized-evolution:population=10,sample=3"}) {
    const nas::StrategyChoice choice = nas::parse_strategy(name);
    const auto one = nas::run_seeds(generated(), search, choice, 9, 1);
    const auto three = nas::run_seeds(generated(), search, choice, 9, 3);
    std::set<double> seconds;
    for (size_t i = 0; i < one.size(); ++i) {
      EXPECT_EQ(one[i].seconds, three[i].seconds);
      EXPECT_EQ(one[i].row(), three[i].row());
      EXPECT_EQ(one[i].improvements.size(), three[i].improvements.size());
      EXPECT_LE(one[i].seconds, 5000);
      EXPECT_GT(one[i].seconds, 5000 - (12 * 15 + 2.39));
      seconds.insert(one[i].seconds);
    }
    EXPECT_GT(seconds.size(), 5u) << "seeds differ";
  }
}

TEST(Seeds, AnswerWithTheBestOfTheWholeHistory) {
  const Table& table = generated();
  const auto runs = nas::run_seeds(table, {.protocol = {.objectives = {}}, .budget = {.evaluations = 60}},
                                   nas::parse_strategy("random"), 3, 1);
  for (uint64_t seed = 0; seed < 3; ++seed) {
    const auto strategy = nas::parse_strategy("random").info->make(table.space(), nas::Settings({}), seed);
    double best = 0;
    for (int i = 0; i < 60; ++i)
      best = std::max(best, table.value(*table.find(strategy->ask()->arch), table.column("c10_val_12")));
    EXPECT_EQ(table.value(runs[seed].row(), table.column("c10_val_12")), best);
    EXPECT_EQ(runs[seed].evaluations, 60);
  }
}

TEST(Seeds, StrategiesAsText) {
  const auto all = nas::parse_strategies("random,regularized-evolution:population=10,sample=3,random");
  ASSERT_EQ(all.size(), 3u);
  EXPECT_EQ(all[1].settings.integer("population"), 10);
  EXPECT_EQ(all[1].settings.integer("sample"), 3);
  EXPECT_EQ(all[1].settings.text("kill"), "oldest");
  expect_error([] { nas::parse_strategies("random,"); }, {"unknown strategy ''"});
  expect_error([] { nas::parse_strategy("regularized-evolution:population"); }, {"SETTING=VALUE"});
  expect_error([] { nas::parse_strategy("regularized-evolution:pop=3"); }, {"pop", "population"});
}

TEST(Figures, MeanAndDeviation) {
  EXPECT_EQ(nas::figure_of({2, 4, 9}).mean, 5);
  EXPECT_NEAR(nas::figure_of({2, 4, 9}).deviation, std::sqrt(13.0), 1e-12);
  EXPECT_EQ(nas::figure_of({3}).deviation, 0);
}

TEST(Curves, EndAtTheRegretOfTheAnswer) {
  const Table& table = generated();
  const nas::TableSearch search{.protocol = {.objectives = {}}, .budget = {.seconds = 5000}};
  std::vector<nas::LabelledRuns> all;
  for (const char* name : {"random", "regularized-evolution"})
    all.push_back({name, nas::run_seeds(table, search, nas::parse_strategy(name), 5, 1)});
  const size_t column = table.column("c10_test_200");
  double optimum = 0;
  for (size_t row = 0; row < table.rows(); ++row) optimum = std::max(optimum, table.value(row, column));
  const auto curves = nas::regret_curves(table, column, all, true);
  ASSERT_EQ(curves.size(), 2u);
  for (size_t c = 0; c < 2; ++c) {
    std::vector<double> last;
    for (const nas::SearchRun& run : all[c].runs) last.push_back(optimum - table.value(run.row(), column));
    std::sort(last.begin(), last.end());
    EXPECT_NEAR(curves[c].mean.back(), nas::figure_of(last).mean, 1e-9);
    EXPECT_EQ(curves[c].median.back(), last[2]);
    EXPECT_EQ(curves[c].lower.back(), last[1]);
    EXPECT_EQ(curves[c].upper.back(), last[3]);
    for (size_t i = 1; i < curves[c].x.size(); ++i) EXPECT_GT(curves[c].x[i], curves[c].x[i - 1]);
    EXPECT_GT(curves[c].mean.front(), curves[c].mean.back());
  }
  EXPECT_EQ(nas::curves_csv(curves, true).rfind("strategy,seconds,mean,", 0), 0u);
}

TEST(Plot, DrawsWhatTheAxesCanShow) {
  nas::Plot plot{.title = "a < b & c", .x_label = "x", .y_label = "y", .log_x = true, .log_y = false, .series = {}};
  EXPECT_EQ(nas::plot_svg(plot).find("nan"), std::string::npos);
  plot.series.push_back({.label = "line", .x = {0, 10, 100, 1000}, .y = {1, 2, std::nan(""), 4}});
  plot.series.push_back({.label = "marks", .x = {100}, .y = {3}, .points = true});
  const std::string svg = nas::plot_svg(plot);
  EXPECT_NE(svg.find("a &lt; b &amp; c"), std::string::npos);
  for (const char* tick : {">10<", ">20<", ">1000<", ">2.5<"}) EXPECT_NE(svg.find(tick), std::string::npos) << tick;
  // From the left below to the right above; the point at x = 0 and the one without y are left out.
  EXPECT_NE(svg.find("d=\"M70 280L580 40\""), std::string::npos) << svg;
  EXPECT_NE(svg.find("cx=\"325\" cy=\"160\""), std::string::npos) << svg;
  EXPECT_EQ(svg.find("nan"), std::string::npos);
}

}  // namespace
}  // namespace mixop::test
