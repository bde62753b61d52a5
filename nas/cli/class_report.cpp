#include "nas/cli/class_report.h"

#include <fmt/format.h>

namespace mixop::cli {
namespace {

constexpr int64_t kFewClasses = 12;  // a matrix of more does not fit a line of a terminal
constexpr size_t kNameWidth = 12;

std::string csv_text(const std::string& text) {
  if (text.find_first_of(",\"\n") == std::string::npos) return text;
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"') quoted += '"';
    quoted += c;
  }
  return quoted + '"';
}

std::string csv_row(const std::string& name, const nas::ClassScore& s) {
  return fmt::format("{},{},{},{:.6f},{:.6f},{:.6f}\n", csv_text(name), s.images, s.predicted, s.precision,
                     s.recall, s.f1);
}

std::string text_row(const std::string& name, const nas::ClassScore& s) {
  return fmt::format("{:<{}.{}} {:>7} {:9.2f} {:9.2f} {:9.2f}", name, kNameWidth, kNameWidth, s.images,
                     100 * s.precision, 100 * s.recall, 100 * s.f1);
}

}  // namespace

std::string describe_averages(const nas::Confusion& c) {
  const nas::ClassScore mean = c.macro();
  std::string text;
  if (c.has_top5()) text = fmt::format("top5 {:.2f} %; ", 100 * c.top5());
  return text + fmt::format("macro precision {:.2f} %, recall {:.2f} %, F1 {:.2f} %", 100 * mean.precision,
                            100 * mean.recall, 100 * mean.f1);
}

std::string describe_classes(const nas::Confusion& c, const Names& names) {
  if (c.classes() > kFewClasses) return "";
  std::string text = fmt::format(
      "{:<{}}  images precision    recall        F1   taken for (columns in this order)\n", "class", kNameWidth);
  for (int64_t k = 0; k < c.classes(); ++k) {
    text += text_row(names.at(static_cast<size_t>(k)), c.score(k)) + "  ";
    for (int64_t j = 0; j < c.classes(); ++j) text += fmt::format(" {:5}", c.count(k, j));
    text += '\n';
  }
  return text;
}

std::string confusion_csv(const nas::Confusion& c, const Names& names) {
  std::string text = "class";
  for (const std::string& name : names) text += ',' + csv_text(name);
  text += '\n';
  for (int64_t k = 0; k < c.classes(); ++k) {
    text += csv_text(names.at(static_cast<size_t>(k)));
    for (int64_t j = 0; j < c.classes(); ++j) text += fmt::format(",{}", c.count(k, j));
    text += '\n';
  }
  return text;
}

std::string classes_csv(const nas::Confusion& c, const Names& names) {
  std::string text = "class,images,predicted,precision,recall,f1\n";
  for (int64_t k = 0; k < c.classes(); ++k) text += csv_row(names.at(static_cast<size_t>(k)), c.score(k));
  return text + csv_row("macro average", c.macro());
}

Json evaluation_json(int epoch, const nas::Score& score, const nas::Confusion& c) {
  Json j = {
      {"epoch", epoch}, {"images", score.images}, {"loss", score.mean_loss()}, {"top1", 100 * score.accuracy()}};
  if (c.has_top5()) j["top5"] = 100 * c.top5();
  const nas::ClassScore mean = c.macro();
  j["macro_precision"] = 100 * mean.precision;
  j["macro_recall"] = 100 * mean.recall;
  j["macro_f1"] = 100 * mean.f1;
  return j;
}

}  // namespace mixop::cli
