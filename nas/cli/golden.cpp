#include "nas/cli/golden.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <regex>

#include "nas/cli/golden_case.h"
#include "nas/cli/golden_ops.h"
#include "nas/cli/tolerance.h"
#include "nas/cli/usage.h"

namespace mixop::cli {

namespace fs = std::filesystem;

namespace {

Evaluation evaluate(const GoldenCase& golden, const Arithmetic& arithmetic) {
  if (golden.op == "darts_supernet") return evaluate_supernet(golden, arithmetic);
  Program p(golden, arithmetic.real);
  for (const auto ops : {elementwise_ops(), layer_ops(), cell_ops()})
    for (const GoldenOp& op : ops)
      if (golden.op == op.name) {
        op.build(p);
        return p.evaluate(arithmetic);
      }
  return build_kxk(p) ? p.evaluate(arithmetic) : evaluate_optimizer(golden, arithmetic);
}

double largest_difference(const Values& a, const Values& b) {
  Values difference(a.size());
  for (size_t i = 0; i < a.size(); ++i) difference[i] = a[i] - b[i];
  return largest(difference);
}

/// "2,0,1" of a tensor of that shape.
std::string index_text(size_t flat, const Extents& shape) {
  std::string text;
  for (size_t k = shape.size(); k-- > 0; flat /= static_cast<size_t>(shape[k]))
    text = std::to_string(flat % static_cast<size_t>(shape[k])) + (text.empty() ? "" : ",") + text;
  return text;
}

/// What is the same for all devices: the exact results, and how far roundings move them.
class Reference {
 public:
  explicit Reference(const GoldenCase& golden) : golden_(golden), exact_(evaluate(golden, {})) {}

  const Evaluation& exact() const { return exact_; }

  /// The largest change of a tensor in the runs of that kind, which the first call makes.
  double change(const std::string& name, Perturbation::Kind kind) {
    if (moved_.empty())
      for (const Perturbation& p : kPerturbations) moved_.push_back(evaluate(golden_, {.perturbation = p}));
    double most = 0;
    const Values& values = exact_.values.at(name);
    for (size_t run = 0; run < moved_.size(); ++run) {
      const auto it = moved_[run].values.find(name);
      if (kPerturbations[run].kind != kind || it == moved_[run].values.end()) continue;
      most = std::max(most, largest_difference(it->second, values));
    }
    return most;
  }

  double magnitude(const std::string& name) {
    const auto known = exact_.magnitudes.find(name);
    return std::max({largest(golden_.at(name).values), known == exact_.magnitudes.end() ? 0 : known->second,
                     change(name, Perturbation::Kind::kNoise) / kEps32});
  }

 private:
  const GoldenCase& golden_;
  Evaluation exact_;
  std::vector<Evaluation> moved_;
};

class Comparison {
 public:
  Comparison(const GoldenCase& golden, Reference& reference, const std::string& device)
      : golden_(golden), reference_(reference), float64_(device == "reference") {
    if (float64_) return;
    const auto where = device == "cuda" ? kernels::Device::kCuda : kernels::Device::kCpu;
    float32_ = evaluate(golden, {.real = kernels::DType::kF32, .device = where});
  }

  GoldenReport report() {
    report_.not_covered = got().not_covered;
    report_.status = GoldenReport::Status::kPass;
    for (const std::string& name : golden_.order)
      if (got().values.count(name)) compare(name);
    return std::move(report_);
  }

 private:
  const Evaluation& got() const { return float64_ ? reference_.exact() : float32_; }

  void compare(const std::string& name) {
    const GoldenTensor& want = golden_.at(name);
    const Values& values = got().values.at(name);
    MIXOP_CHECK(values.size() == want.values.size(), name, ": ", values.size(), " values, the manifest has ",
                want.values.size());
    const double c = reference_.exact().factor, size = largest(want.values);
    double scale = size, bound = float64_bound(c, size, 0);
    if (!float64_) {
      scale = reference_.magnitude(name);
      bound = float32_bound(c, scale, reference_.change(name, Perturbation::Kind::kKinks));
    } else if (!(largest_difference(want.values, values) <= bound)) {
      bound = float64_bound(c, size, reference_.magnitude(name));
    }
    for (size_t i = 0; i < values.size(); ++i) judge(name, i, want.values[i], values[i], scale, bound);
  }

  /// `scale` is what error and bound are divided by for the report.
  void judge(const std::string& name, size_t i, double want, double got, double scale, double bound) {
    const double error = std::abs(got - want);
    double ratio = error == 0 || (std::isnan(want) && std::isnan(got)) ? 0 : error / bound;
    if (std::isnan(ratio)) ratio = std::numeric_limits<double>::infinity();
    if (ratio <= worst_) return;
    worst_ = ratio;
    report_.error = scale > 0 ? error / scale : error;
    report_.bound = scale > 0 ? bound / scale : bound;
    if (ratio <= 1) return;
    report_.status = GoldenReport::Status::kFail;
    report_.message =
        fmt::format("{}[{}]: want {:.17g}, got {:.17g}", name, index_text(i, golden_.at(name).shape), want, got);
  }

  const GoldenCase& golden_;
  Reference& reference_;
  bool float64_;
  Evaluation float32_;
  GoldenReport report_;
  double worst_ = -1;  ///< error / bound
};

/// What `work` returns, or its exception as a report.
template <class Work>
GoldenReport guarded(Work&& work) {
  GoldenReport failed;
  try {
    return work();
  } catch (const NotCovered& e) {
    failed.status = GoldenReport::Status::kNotCovered;
    failed.message = e.what();
  } catch (const std::exception& e) {
    failed.message = e.what();
  }
  return failed;
}

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string text;
  for (const std::string& w : words) text += (text.empty() ? "" : between) + w;
  return text;
}

/// The folder's own name, also for "." and paths that end in '/'.
std::string case_name(const fs::path& folder) {
  const fs::path path = fs::absolute(folder).lexically_normal();
  return (path.has_filename() ? path : path.parent_path()).filename().string();
}

std::string escaped(const std::string& name) {
  static const std::regex kSpecial(R"([.^$|()\[\]{}*+?\\])");
  return std::regex_replace(name, kSpecial, R"(\$&)");
}

std::regex filter_of(const std::string& text) {
  try {
    return std::regex(text);
  } catch (const std::regex_error& e) {
    throw UsageError("--case '" + text + "': not a regular expression (" + e.what() + ")");
  }
}

}  // namespace

const std::vector<std::string>& golden_devices() {
  static const std::vector<std::string> devices = {"reference", "cpu", "cuda"};
  return devices;
}

std::vector<std::string> usable_golden_devices() {
  std::vector<std::string> devices = golden_devices();
  if (kernels::cuda::devices().empty()) devices.pop_back();
  return devices;
}

std::vector<GoldenReport> run_golden_case(const fs::path& folder, const std::vector<std::string>& devices) {
  std::vector<GoldenReport> reports;
  const GoldenReport common = guarded([&] {
    const GoldenCase golden = load_case(folder);
    Reference reference(golden);
    for (const std::string& device : devices)
      reports.push_back(guarded([&] { return Comparison(golden, reference, device).report(); }));
    return GoldenReport();
  });
  reports.resize(devices.size(), common);  // when the case itself is broken
  return reports;
}

namespace {

/// The line of one case on one device.
std::string report_line(const GoldenOptions& options, const std::string& name, const std::string& device,
                        const GoldenReport& r) {
  std::string line = fmt::format("{:<36} {:<9} ", name, device);
  if (r.status == GoldenReport::Status::kNotCovered) return line + "not covered: " + r.message;
  if (r.status == GoldenReport::Status::kPass) {
    line += fmt::format("error {:.1e}  bound {:.1e}  pass", r.error, r.bound);
    return r.not_covered.empty() ? line : line + "; not covered: " + joined(r.not_covered, " ");
  }
  if (r.bound > 0 || r.error > 0) line += fmt::format("error {:.1e}  bound {:.1e}  ", r.error, r.bound);
  return line + fmt::format("FAIL  {}  (mixop verify {} --case '^{}$' --device {})", r.message,
                            options.folder.string(), escaped(name), device);
}

}  // namespace

bool verify_golden(const GoldenOptions& options) {
  const std::regex filter = filter_of(options.filter);
  std::vector<fs::path> cases = find_cases(options.folder);
  std::erase_if(cases, [&](const fs::path& p) { return !std::regex_search(case_name(p), filter); });
  MIXOP_CHECK(!cases.empty(), options.folder.string(), ": no case matches '", options.filter, "'");

  int passed = 0, failed = 0, uncovered = 0;
  for (const fs::path& folder : cases) {
    const std::vector<GoldenReport> reports = run_golden_case(folder, options.devices);
    for (size_t d = 0; d < reports.size(); ++d) {
      const auto status = reports[d].status;
      ++(status == GoldenReport::Status::kPass   ? passed
         : status == GoldenReport::Status::kFail ? failed
                                                 : uncovered);
      fmt::print("{}\n", report_line(options, case_name(folder), options.devices[d], reports[d]));
      std::fflush(stdout);
    }
  }
  fmt::print("{} cases on {}: {} passed, {} failed, {} not covered\n", cases.size(),
             joined(options.devices, " and "), passed, failed, uncovered);
  return failed == 0 && (uncovered == 0 || options.allow_uncovered);
}

}  // namespace mixop::cli
