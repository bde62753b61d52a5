#include "nas/genotype.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <nlohmann/json.hpp>
#include <set>
#include <sstream>
#include <utility>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

constexpr std::string_view kOpNames[] = {"none",         "max_pool_3x3", "avg_pool_3x3", "skip_connect",
                                         "sep_conv_3x3", "sep_conv_5x5", "dil_conv_3x3", "dil_conv_5x5",
                                         "sep_conv_7x7", "conv_7x1_1x7"};

constexpr CellKind kKinds[] = {CellKind::normal, CellKind::reduce};

/// Keywords of both forms: keyword 2k holds the edges of kind k, keyword 2k+1 its concat.
constexpr std::string_view kKeywords[] = {"normal", "normal_concat", "reduce", "reduce_concat"};

std::string unknown_op(std::string_view name) {
  std::ostringstream out;
  out << "unknown operation '" << name << "'; known:";
  for (std::string_view known : kOpNames) out << ' ' << known;
  return out.str();
}

std::optional<CellOp> find_op(std::string_view name) {
  const auto found = std::find(std::begin(kOpNames), std::end(kOpNames), name);
  if (found == std::end(kOpNames)) return std::nullopt;
  return static_cast<CellOp>(found - std::begin(kOpNames));
}

CellGenotype& cell_of(Genotype& genotype, CellKind kind) {
  return kind == CellKind::normal ? genotype.normal : genotype.reduce;
}

bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_word(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || is_digit(c); }

/// Recursive-descent reader of the Python text. Remembers where each edge and concat entry stood, so that a fault
/// of the cell, which may only show after all keywords are read, is reported at its place.
class Reader {
 public:
  Reader(std::string_view text, std::string_view source, std::size_t start)
      : text_(text), source_(source), at_(start) {}

  Genotype genotype() {
    Genotype result;
    std::string word = identifier("'Genotype('");
    if (peek() == '=') {
      expect('=', "'='");
      result.name = word;
      skip_space();
      word_start_ = at_;
      word = identifier("'Genotype('");
    }
    if (word != "Genotype") fail_at(word_start_, "expected 'Genotype(', found '" + word + "'");
    expect('(', "'(' after Genotype");
    read_items('(', "a keyword", [&] { keyword(result); });
    for (std::size_t k = 0; k < std::size(kKeywords); ++k)
      if (!keyword_at_[k]) fail_at(at_, "missing keyword '" + std::string(kKeywords[k]) + "'");
    for (CellKind kind : kKinds) check_cell(result.cell(kind), kind);
    return result;
  }

  void expect_end() {
    skip_space();
    if (at_ < text_.size()) fail_at(at_, "expected the end of the genotype, found " + found());
  }

 private:
  void keyword(Genotype& result) {
    const std::string word = identifier("a keyword");
    const auto position = std::find(std::begin(kKeywords), std::end(kKeywords), word);
    if (position == std::end(kKeywords))
      fail_at(word_start_, "unknown keyword '" + word + "'; known: normal normal_concat reduce reduce_concat");
    const std::size_t k = position - std::begin(kKeywords);
    if (keyword_at_[k]) fail_at(word_start_, "keyword '" + word + "' given twice");
    keyword_at_[k] = word_start_;
    expect('=', "'=' after '" + word + "'");
    CellGenotype& cell = cell_of(result, kKinds[k / 2]);
    if (k % 2 == 0) edge_list(cell, edge_at_[k / 2]);
    else concat(cell, concat_at_[k / 2]);
  }

  void edge_list(CellGenotype& cell, std::vector<std::size_t>& places) {
    expect('[', "'[' before the edges");
    read_items('[', "an edge ('op', input)", [&] {
      if (peek() != '[') return edge(cell, places);
      const std::size_t group_start = at_, before = cell.edges.size();
      expect('[', "'['");
      read_items('[', "an edge ('op', input)", [&] { edge(cell, places); });
      if (cell.edges.size() != before + 2)
        fail_at(group_start, kernels::text("expected 2 edges for this node, found ", cell.edges.size() - before));
    });
  }

  void edge(CellGenotype& cell, std::vector<std::size_t>& places) {
    skip_space();
    places.push_back(at_);
    expect('(', "'(' before an edge");
    const char quote = peek();
    if (quote != '\'' && quote != '"') fail_at(at_, "expected a quoted operation, found " + found());
    const std::size_t start = ++at_, end = std::min(text_.find(quote, start), text_.find('\n', start));
    if (end == std::string_view::npos || text_[end] != quote) fail_at(start - 1, "this quote is never closed");
    const std::string_view name = text_.substr(start, end - start);
    const auto op = find_op(name);
    if (!op) fail_at(start, unknown_op(name));
    at_ = end + 1;
    expect(',', "',' after the operation");
    const int input = number();
    expect(')', "')' after the input");
    cell.edges.push_back({*op, input});
  }

  void concat(CellGenotype& cell, std::vector<std::size_t>& places) {
    const char open = peek();
    const auto add = [&] {
      skip_space();
      places.push_back(at_);
      cell.concat.push_back(number());
    };
    if (open == '[' || open == '(') {
      ++at_;
      return read_items(open, "a state number", add);
    }
    if (!is_word(open) || is_digit(open)) fail_at(at_, "expected a list or range(...), found " + found());
    const std::string word = identifier("range(...)");
    if (word != "range") fail_at(word_start_, "expected a list or range(...), found '" + word + "'");
    const std::size_t start = word_start_;
    expect('(', "'(' after range");
    int first = 0, last = number();
    if (peek() == ',') {
      ++at_;
      first = std::exchange(last, number());
    }
    expect(')', "')' after range");
    for (int state = first; state < last; ++state) {
      cell.concat.push_back(state);
      places.push_back(start);
    }
  }

  /// Items separated by commas up to the bracket that closes `open`; a trailing comma is allowed, as in Python.
  template <class Item>
  void read_items(char open, const std::string& what, Item item) {
    const char close = open == '(' ? ')' : ']';
    while (peek() != close) {
      if (peek() == ',') fail_at(at_, "expected " + what + ", found ','");
      item();
      if (peek() == close) break;
      expect(',', std::string("',' or '") + close + "'");
    }
    ++at_;
  }

  void check_cell(const CellGenotype& cell, CellKind kind) {
    const auto fault = find_fault(cell, kind);
    if (!fault) return;
    const auto k = static_cast<std::size_t>(kind);
    std::size_t place = *keyword_at_[2 * k];
    if (fault->edge) place = edge_at_[k][*fault->edge];
    if (fault->concat) place = cell.concat.empty() ? *keyword_at_[2 * k + 1] : concat_at_[k][*fault->concat];
    fail_at(place, fault->message);
  }

  std::string identifier(const std::string& what) {
    skip_space();
    word_start_ = at_;
    while (at_ < text_.size() && is_word(text_[at_])) ++at_;
    if (at_ == word_start_ || is_digit(text_[word_start_]))
      fail_at(word_start_, "expected " + what + ", found " + found());
    return std::string(text_.substr(word_start_, at_ - word_start_));
  }

  int number() {
    skip_space();
    int value = 0;
    const char* first = text_.data() + at_;
    const auto [end, error] = std::from_chars(first, text_.data() + text_.size(), value);
    if (error == std::errc::invalid_argument) fail_at(at_, "expected a state number, found " + found());
    // The bound only keeps an absurd range from filling memory; find_fault knows the real one.
    if (error != std::errc() || value < 0 || value > 9999)
      fail_at(at_, "state " + std::string(first, end) + " does not exist");
    at_ += end - first;
    return value;
  }

  void expect(char c, const std::string& what) {
    if (peek() != c) fail_at(at_, "expected " + what + ", found " + found());
    ++at_;
  }

  char peek() {
    skip_space();
    return at_ < text_.size() ? text_[at_] : '\0';
  }

  void skip_space() {
    while (at_ < text_.size() && is_space(text_[at_])) ++at_;
  }

  std::string found() const {
    if (at_ >= text_.size()) return "the end of the text";
    std::size_t end = at_ + 1;
    while (is_word(text_[end - 1]) && end < text_.size() && is_word(text_[end]) && end - at_ < 32) ++end;
    return kernels::text("'", text_.substr(at_, end - at_), "'");
  }

  [[noreturn]] void fail_at(std::size_t place, const std::string& message) const {
    const std::string_view before = text_.substr(0, place);
    const std::size_t line = 1 + std::count(before.begin(), before.end(), '\n');
    const std::size_t line_start = before.rfind('\n') == std::string_view::npos ? 0 : before.rfind('\n') + 1;
    kernels::fail(source_, ", line ", line, ", column ", place - line_start + 1, ": ", message);
  }

  std::string_view text_, source_;
  std::size_t at_, word_start_ = 0;
  std::array<std::optional<std::size_t>, 4> keyword_at_;
  std::array<std::vector<std::size_t>, 2> edge_at_, concat_at_;  // by kind
};

using Json = nlohmann::json;

int json_state(const Json& value, const std::string& where) {
  MIXOP_CHECK(value.is_number_integer() && value >= 0 && value <= 9999, "genotype JSON, ", where,
              ": expected a state number, found ", value.dump());
  return value.get<int>();
}

Genotype parse_json(std::string_view text) {
  std::set<std::string> keys;
  std::string repeated;
  const auto note_key = [&](int depth, Json::parse_event_t event, Json& value) {
    if (event == Json::parse_event_t::key && depth == 1 && !keys.insert(value.get<std::string>()).second)
      repeated = value.get<std::string>();
    return true;
  };
  Json root;
  try {
    root = Json::parse(text.begin(), text.end(), note_key);
  } catch (const Json::parse_error& error) {
    kernels::fail("genotype JSON, byte ", error.byte, ": not valid JSON");
  }
  MIXOP_CHECK(repeated.empty(), "genotype JSON: key '", repeated, "' given twice");
  Genotype result;
  if (root.contains("name") && root["name"].is_string()) result.name = root["name"];
  for (const std::string& key : keys)
    MIXOP_CHECK(key == "name" || std::count(std::begin(kKeywords), std::end(kKeywords), key),
                "genotype JSON: unknown key '", key, "'; known: name normal normal_concat reduce reduce_concat");
  for (std::size_t k = 0; k < std::size(kKeywords); ++k) {
    const std::string key(kKeywords[k]);
    MIXOP_CHECK(root.contains(key), "genotype JSON: missing key '", key, "'");
    MIXOP_CHECK(root[key].is_array(), "genotype JSON, ", key, ": expected a list");
    CellGenotype& cell = cell_of(result, kKinds[k / 2]);
    for (std::size_t i = 0; i < root[key].size(); ++i) {
      const Json& item = root[key][i];
      const std::string where = kernels::text(key, "[", i, "]");
      if (k % 2 == 1) {
        cell.concat.push_back(json_state(item, where));
        continue;
      }
      MIXOP_CHECK(item.is_array() && item.size() == 2 && item[0].is_string(), "genotype JSON, ", where,
                  ": expected [\"op\", input], found ", item.dump());
      const auto op = find_op(item[0].get<std::string>());
      MIXOP_CHECK(op, "genotype JSON, ", where, ": ", unknown_op(item[0].get<std::string>()));
      cell.edges.push_back({*op, json_state(item[1], where)});
    }
  }
  validate(result);
  return result;
}

}  // namespace

std::string_view op_name(CellOp op) { return kOpNames[static_cast<std::size_t>(op)]; }

CellOp parse_op(std::string_view name) {
  const auto op = find_op(name);
  MIXOP_CHECK(op, unknown_op(name));
  return *op;
}

std::string_view cell_kind_name(CellKind kind) { return kind == CellKind::normal ? "normal" : "reduce"; }

std::optional<CellFault> find_fault(const CellGenotype& cell, CellKind kind) {
  using kernels::text;
  const std::size_t edges = cell.edges.size();
  const std::string name(cell_kind_name(kind));
  if (edges == 0 || edges % 2 == 1)
    return CellFault{text("the ", name, " cell has ", edges, " edges; expected two per node"), {}, {}};
  for (std::size_t e = 0; e < edges; ++e) {
    const int input = cell.edges[e].input, node = 2 + static_cast<int>(e / 2);
    if (input < 0 || input >= node)
      return CellFault{text(name, " edge ", e, " enters state ", node, ", so its input must be 0 to ", node - 1,
                            ", not ", input),
                       e,
                       {}};
  }
  if (cell.concat.empty()) return CellFault{text("the concat of the ", name, " cell is empty"), {}, 0};
  const int states = cell.nodes() + 2;
  for (std::size_t c = 0; c < cell.concat.size(); ++c) {
    const int state = cell.concat[c];
    const auto fault = [&](const auto&... why) {
      return CellFault{text(name, "_concat: state ", state, " ", why...), {}, c};
    };
    if (state < 0 || state >= states) return fault("does not exist; states are 0 to ", states - 1);
    if (std::count(cell.concat.begin(), cell.concat.begin() + c, state)) return fault("is repeated");
    if (kind == CellKind::reduce && state < 2)
      return fault("is an input of the cell, whose map is larger than those of the nodes");
  }
  return std::nullopt;
}

void validate(const Genotype& genotype) {
  for (CellKind kind : kKinds)
    if (const auto fault = find_fault(genotype.cell(kind), kind)) kernels::fail("genotype: ", fault->message);
}

Genotype parse_genotype(std::string_view text) {
  const auto start = std::find_if_not(text.begin(), text.end(), is_space);
  if (start != text.end() && *start == '{') return parse_json(text);
  Reader reader(text, "genotype", 0);
  Genotype result = reader.genotype();
  reader.expect_end();
  return result;
}

Genotype parse_last_genotype(std::string_view text, std::string_view source) {
  const std::size_t start = text.rfind("Genotype(");
  MIXOP_CHECK(start != std::string_view::npos, source, ": no 'Genotype(' in it");
  return Reader(text, source, start).genotype();
}

std::string format_genotype(const Genotype& genotype) {
  std::ostringstream out;
  for (CellKind kind : kKinds) {
    const CellGenotype& cell = genotype.cell(kind);
    out << (kind == CellKind::normal ? "Genotype(" : ", ") << cell_kind_name(kind) << "=[";
    for (std::size_t e = 0; e < cell.edges.size(); ++e)
      out << (e ? ", " : "") << "('" << op_name(cell.edges[e].op) << "', " << cell.edges[e].input << ")";
    out << "], " << cell_kind_name(kind) << "_concat=[";
    for (std::size_t c = 0; c < cell.concat.size(); ++c) out << (c ? ", " : "") << cell.concat[c];
    out << "]";
  }
  out << ")";
  return out.str();
}

std::string format_json(const Genotype& genotype) {
  nlohmann::ordered_json root;
  for (CellKind kind : kKinds) {
    const std::string key(cell_kind_name(kind));
    root[key] = Json::array();
    for (const Edge& edge : genotype.cell(kind).edges)
      root[key].push_back(nlohmann::ordered_json::array({op_name(edge.op), edge.input}));
    root[key + "_concat"] = genotype.cell(kind).concat;
  }
  return root.dump();
}

}  // namespace mixop::nas
