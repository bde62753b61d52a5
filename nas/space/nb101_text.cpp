#include "nas/space/nb101_text.h"

#include "kernels/core/check.h"
#include "nas/json.h"

namespace mixop::nas {
namespace {

constexpr std::array<std::string_view, 3> kOps = {"conv3x3-bn-relu", "conv1x1-bn-relu", "maxpool3x3"};

Nb101Graph parse_json(std::string_view text) {
  const Json json = Json::parse(text, nullptr, false);
  MIXOP_CHECK(!json.is_discarded(), "nb101: the text that begins with '{' is no JSON");
  for (const char* key : {"module_adjacency", "module_operations"})
    MIXOP_CHECK(json.contains(key) && json[key].is_array(), "nb101: the JSON has no list '", key, "'");
  const Json &rows = json["module_adjacency"], &ops = json["module_operations"];
  const size_t n = rows.size();
  MIXOP_CHECK(n >= 2 && n <= Nb101Graph::kMaxVertices, "nb101: module_adjacency has ", n, " rows, not 2 to 7");
  MIXOP_CHECK(ops.size() == n, "nb101: module_operations has ", ops.size(), " entries, not one for each of ", n,
              " vertices");
  Nb101Graph g;
  g.vertices = static_cast<int>(n);
  for (size_t from = 0; from < n; ++from) {
    MIXOP_CHECK(rows[from].is_array() && rows[from].size() == n, "nb101: module_adjacency: row ", from,
                " should be a list of ", n, " numbers");
    for (size_t to = 0; to < n; ++to) {
      const Json& entry = rows[from][to];
      MIXOP_CHECK(entry == 0 || (entry == 1 && to > from), "nb101: module_adjacency: row ", from, ", column ", to,
                  " is ", entry.dump(), "; 1 is allowed above the diagonal only, 0 elsewhere");
      if (entry == 1) g.out[from] |= static_cast<uint8_t>(1u << to);
    }
  }
  for (size_t v = 0; v < n; ++v) {
    const bool inner = v > 0 && v < n - 1;
    bool known = !inner && ops[v] == std::string(v == 0 ? "input" : "output");
    for (size_t op = 0; inner && op < kOps.size(); ++op)
      if (ops[v] == std::string(kOps[op])) {
        g.op[v] = static_cast<int8_t>(op);
        known = true;
      }
    MIXOP_CHECK(known, "nb101: module_operations: entry ", v, " is ", ops[v].dump(), "; expected ",
                v == 0  ? "\"input\""
                : inner ? "conv3x3-bn-relu, conv1x1-bn-relu or maxpool3x3"
                        : "\"output\"");
  }
  return g;
}

}  // namespace

Nb101Graph parse_nb101(std::string_view text) {
  if (text.starts_with('{')) return parse_json(text);
  const size_t colon = text.find(':');
  MIXOP_CHECK(colon != std::string_view::npos, "nb101: '", text, "': expected EDGES:OPS, such as 111011:02");
  const std::string_view bits = text.substr(0, colon), ops = text.substr(colon + 1);
  Nb101Graph g;
  g.vertices = static_cast<int>(ops.size()) + 2;
  MIXOP_CHECK(g.vertices <= Nb101Graph::kMaxVertices, "nb101: '", text, "': ", ops.size(),
              " operations, at most 5 are allowed");
  const int slots = g.vertices * (g.vertices - 1) / 2;
  MIXOP_CHECK(bits.size() == static_cast<size_t>(slots), "nb101: '", text, "': ", bits.size(), " edges with ",
              ops.size(), " operations; ", slots, " are needed");
  for (int from = 0, slot = 0; from < g.vertices; ++from)
    for (int to = from + 1; to < g.vertices; ++to, ++slot) {
      const char bit = bits[static_cast<size_t>(slot)];
      MIXOP_CHECK(bit == '0' || bit == '1', "nb101: '", text, "': expected 0 or 1 at character ", slot);
      if (bit == '1') g.out[static_cast<size_t>(from)] |= static_cast<uint8_t>(1u << to);
    }
  for (size_t v = 0; v < ops.size(); ++v) {
    MIXOP_CHECK(ops[v] >= '0' && ops[v] <= '2', "nb101: '", text,
                "': expected an operation 0, 1 or 2 at character ", colon + 1 + v);
    g.op[v + 1] = static_cast<int8_t>(ops[v] - '0');
  }
  return g;
}

std::string format_nb101(const Nb101Graph& g) {
  std::string text;
  for (int from = 0; from < g.vertices; ++from)
    for (int to = from + 1; to < g.vertices; ++to) text += g.edge(from, to) ? '1' : '0';
  text += ':';
  for (int v = 1; v < g.vertices - 1; ++v) text += static_cast<char>('0' + g.op[static_cast<size_t>(v)]);
  return text;
}

std::string format_nb101_json(const Nb101Graph& g) {
  Json rows = Json::array(), ops = Json::array();
  for (int from = 0; from < g.vertices; ++from) {
    Json row = Json::array();
    for (int to = 0; to < g.vertices; ++to) row.push_back(static_cast<int>(to > from && g.edge(from, to)));
    rows.push_back(row);
    ops.push_back(nb101_label(g, from));
  }
  return Json{{"module_adjacency", rows}, {"module_operations", ops}}.dump();
}

std::string_view nb101_label(const Nb101Graph& g, int v) {
  if (v == 0) return "input";
  return v == g.vertices - 1 ? "output" : kOps[static_cast<size_t>(g.op[static_cast<size_t>(v)])];
}

}  // namespace mixop::nas
