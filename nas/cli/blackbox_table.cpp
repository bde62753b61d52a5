#include "nas/cli/blackbox_table.h"

#include <fmt/format.h>

#include <cmath>

#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/keys.h"
#include "nas/search/mnas_reward.h"
#include "nas/table/table_evaluator.h"

namespace mixop::cli {
namespace {

std::vector<std::string> split(const std::string& list) {
  std::vector<std::string> words;
  for (size_t at = 0; at < list.size();) {
    const size_t end = std::min(list.find(',', at), list.size());
    words.push_back(list.substr(at, end - at));
    at = end + 1;
  }
  return words;
}

nas::TableProtocol protocol_of(const Config& config) {
  using Noise = nas::TableProtocol::Noise;
  return {.dataset = config.text("search.dataset"),
          .epochs = static_cast<int>(config.integer("search.table_epochs")),
          .noise = config.text("search.noise") == "trial" ? Noise::kTrial : Noise::kMean,
          .seed = static_cast<uint64_t>(config.integer("search.seed")),
          .objectives = split(config.text("search.objectives"))};
}

class Lookup final : public RunEvaluator {
 public:
  Lookup(const Config& config, const nas::Space& space)
      : files_(split(config.text("search.table"))),
        table_(nas::Table::open(files_)),
        evaluator_(table_, protocol_of(config)) {
    MIXOP_CHECK(table_.space().name() == space.name(), files_.front(), ": is a table of the space ",
                table_.space().name(), ", not of ", space.name(), "; give --space ", table_.space().name());
    const nas::MnasTarget target{.latency = config.real("search.mnas_latency"),
                                 .below = config.real("search.mnas_below"),
                                 .above = config.real("search.mnas_above")};
    if (target.latency == 0) return;
    MIXOP_CHECK(!evaluator_.protocol().objectives.empty(),
                "--mnas-latency needs the latency's column; give it as the first of --objectives");
    reward_.emplace(evaluator_, target);
  }

  nas::Evaluator& evaluator() override {
    if (reward_) return *reward_;
    return evaluator_;
  }

  std::vector<std::string> objectives() const override {
    std::vector<std::string> names = evaluator_.protocol().objectives;
    if (!names.empty()) names.insert(names.begin(), "error");
    return names;
  }

  std::vector<nas::Objectives> all_objectives() override {
    std::vector<nas::Objectives> all;
    for (size_t row = 0; row < table_.rows(); ++row) {
      nas::Candidate candidate;
      candidate.arch = table_.arch(row);
      nas::Outcome outcome = evaluator_.evaluate(candidate);
      if (!outcome.failed) all.push_back(std::move(outcome.objectives));
    }
    return all;
  }

  std::string score_name() const override {
    return reward_ ? "MnasNet reward of the validation accuracy" : RunEvaluator::score_name();
  }

  Json data() const override {
    Json sums = Json::array();
    for (const std::string& file : files_) sums.push_back(autograd::sha256(autograd::read_file(file)));
    return {{"tables", sums}};
  }

  std::string describe() const override {
    return fmt::format("candidates: looked up among {} ({}): {} after {} epochs; costs are {}\n", table_.rows(),
                       table_.source(), evaluator_.protocol().dataset, evaluator_.protocol().epochs,
                       evaluator_.timed() ? "recorded seconds" : "those of a validation pass");
  }

  std::string report(const nas::Arch& best) const override {
    const auto row = table_.find(best);
    std::string text;
    if (!row) return text;
    for (const nas::ReportedAccuracy& r : nas::reported_accuracies(table_)) {
      text += r.dataset + ":";
      if (r.valid) text += fmt::format(" validation {:.2f} %", table_.value(*row, *r.valid));
      if (r.test) text += fmt::format(" test {:.2f} %", table_.value(*row, *r.test));
      text += " (trained for longest)\n";
    }
    return text;
  }

 private:
  std::vector<std::string> files_;
  nas::Table table_;
  nas::TableEvaluator evaluator_;
  std::optional<nas::MnasReward> reward_;  // around it
};

}  // namespace

std::vector<Key> table_keys() {
  return {
      text_key("search.table", "--table", "", "look candidates up in this table, or several: A,B,...")
          .when_resumed(OnResume::kMayChange),
      text_key("search.dataset", "--dataset", "cifar10", "of the table"),
      int_key("search.table_epochs", "--table-epochs", 0,
              "recorded schedule that guides the search, 0: 12 or the longest")
          .in(0, 1000000),
      text_key("search.noise", "--noise", "mean", "of the recorded runs of a candidate").one_of({"mean", "trial"}),
      text_key("search.objectives", "--objectives", "",
               "columns of the table to be minimised beside the error: A,B,..."),
      real_key("search.mnas_latency", "--mnas-latency", 0,
               "target of the first objective: MnasNet's reward takes the accuracy's place, 0: off")
          .at_least(0),
      real_key("search.mnas_below", "--mnas-below", -0.07, "its exponent up to the target").in(-100, 0),
      real_key("search.mnas_above", "--mnas-above", -0.07, "its exponent beyond the target").in(-100, 0)};
}

std::unique_ptr<RunEvaluator> make_table_evaluator(const Config& config, const nas::Space& space) {
  return std::make_unique<Lookup>(config, space);
}

}  // namespace mixop::cli
