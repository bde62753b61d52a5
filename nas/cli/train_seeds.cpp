#include "nas/cli/train_seeds.h"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <cmath>

#include "autograd/files.h"
#include "kernels/core/check.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr char kSeeds[] = "seeds.json", kResults[] = "results.json";
constexpr int64_t kMostSeeds = 1000;

int64_t whole_number(const std::string& text, const std::string& all) {
  int64_t n = -1;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), n);
  if (error != std::errc() || end != text.data() + text.size() || n < 0)
    throw UsageError("--seeds: '" + all + "' is neither a number of seeds (3) nor a list of them (3,5,8)");
  return n;
}

Json read_json(const fs::path& path) {
  Json j = Json::parse(autograd::read_file(path), nullptr, false);
  MIXOP_CHECK(j.is_object(), path.string(), ": damaged: not JSON");
  return j;
}

}  // namespace

std::vector<int64_t> parse_seeds(const std::string& text, int64_t first) {
  std::vector<int64_t> seeds;
  if (text.find(',') == std::string::npos) {
    const int64_t n = whole_number(text, text);
    if (n < 1 || n > kMostSeeds) throw UsageError(fmt::format("--seeds: {} is not in 1..{}", n, kMostSeeds));
    for (int64_t i = 0; i < n; ++i) seeds.push_back(first + i);
    return seeds;
  }
  for (size_t at = 0; at <= text.size();) {
    const size_t end = std::min(text.find(',', at), text.size());
    const int64_t seed = whole_number(text.substr(at, end - at), text);
    if (std::find(seeds.begin(), seeds.end(), seed) != seeds.end())
      throw UsageError(fmt::format("--seeds: {} is given twice", seed));
    seeds.push_back(seed);
    at = end + 1;
  }
  return seeds;
}

Spread spread_of(const std::vector<double>& numbers) {
  Spread s;
  const auto n = static_cast<double>(numbers.size());
  for (const double v : numbers) s.mean += v / n;
  for (const double v : numbers) s.deviation += (v - s.mean) * (v - s.mean);
  s.deviation = numbers.size() > 1 ? std::sqrt(s.deviation / (n - 1)) : 0;
  return s;
}

bool SeedRuns::exists(const fs::path& out) { return fs::is_regular_file(out / kSeeds); }

SeedRuns::SeedRuns(fs::path out, RunDirectory::Start start) : out_(std::move(out)), start_(start) {
  using Start = RunDirectory::Start;
  if (!fs::exists(fs::symlink_status(out_))) return;
  MIXOP_CHECK(fs::is_directory(out_), out_.string(), ": exists and is not a directory; choose another --out");
  if (fs::is_empty(out_)) return;
  MIXOP_CHECK(exists(out_), out_.string(), ": is not empty and has no ", kSeeds,
              ", so it holds no runs of --seeds; choose another --out");
  MIXOP_CHECK(start_ != Start::kFresh, out_.string(),
              ": exists; --resume goes on with those runs, --force replaces them");
  if (start_ != Start::kResume) return;
  stored_ = read_json(out_ / kSeeds);
  MIXOP_CHECK(stored_->contains("seeds") && stored_->contains("config"), (out_ / kSeeds).string(),
              ": damaged: not the JSON of several runs");
}

void SeedRuns::begin(const std::vector<int64_t>& seeds, const Json& config) {
  if (stored_) return;
  if (start_ == RunDirectory::Start::kForce && exists(out_)) {
    // seeds.json goes last: runs half deleted are still some that --force may replace.
    std::vector<fs::path> old;
    for (const auto& entry : fs::directory_iterator(out_)) {
      if (entry.path().filename() == kSeeds) continue;
      if (entry.is_directory()) RunDirectory(entry.path(), RunDirectory::Start::kForce).prepare();  // in use?
      old.push_back(entry.path());
    }
    for (const fs::path& path : old) fs::remove_all(path);
  }
  std::error_code error;
  fs::create_directories(out_, error);
  MIXOP_CHECK(!error, "cannot make ", out_.string(), ": ", error.message(), "; choose another --out");
  autograd::write_file(out_ / kSeeds, Json{{"seeds", seeds}, {"config", config}}.dump(2) + "\n");
}

bool SeedRuns::finished(int64_t seed) const {
  const fs::path file = run_of(seed) / kResults;
  return fs::is_regular_file(file) && read_json(file).value("finished", false);
}

std::string SeedRuns::report(const std::vector<int64_t>& seeds) const {
  Json all = {{"seeds", Json::array()}};
  std::string text = "seed       last %     best %  (epoch)\n";
  std::vector<double> last, best;
  for (const int64_t seed : seeds) {
    const Json r = read_json(run_of(seed) / kResults);
    last.push_back(r.at("last").at("top1"));
    best.push_back(r.at("best").at("top1"));
    text += fmt::format("{:<8} {:8.2f}   {:8.2f}  ({})\n", seed, last.back(), best.back(),
                        r.at("best").at("epoch").get<int>());
    all["seeds"].push_back({{"seed", seed}, {"last", r.at("last")}, {"best", r.at("best")}});
  }
  text += fmt::format("{} seeds: test accuracy, mean and deviation (n - 1)", seeds.size());
  for (const auto& [name, numbers] : {std::pair{"last", &last}, std::pair{"best", &best}}) {
    const Spread s = spread_of(*numbers);
    all[name] = {{"mean", s.mean}, {"deviation", s.deviation}};
    text += fmt::format("; {} epoch {:.2f} +- {:.2f} %", name, s.mean, s.deviation);
  }
  autograd::write_file(out_ / kResults, all.dump(2) + "\n");
  return text + "\n";
}

}  // namespace mixop::cli
