#include "nas/space/nb101_graph.h"

#include <algorithm>

#include "kernels/core/check.h"
#include "nas/md5.h"

namespace mixop::nas {
namespace {

// The vertices, as bits, that lie on a path from the first to the last.
unsigned on_paths(const Nb101Graph& g) {
  unsigned forward = 1, backward = 1u << (g.vertices - 1);
  for (int v = 0; v < g.vertices; ++v)
    if (forward >> v & 1) forward |= g.out[static_cast<size_t>(v)];
  for (int v = g.vertices; v-- > 0;)
    if (g.out[static_cast<size_t>(v)] & backward) backward |= 1u << v;
  return forward & backward;
}

int label(const Nb101Graph& g, int v) {
  return v == 0 ? -1 : v == g.vertices - 1 ? -2 : g.op[static_cast<size_t>(v)];
}

int in_degree(const Nb101Graph& g, int v) {
  int n = 0;
  for (int from = 0; from < v; ++from) n += g.edge(from, v);
  return n;
}

int out_degree(const Nb101Graph& g, int v) { return std::popcount(g.out[static_cast<size_t>(v)]); }

uint64_t mix(uint64_t x) {
  x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9u;
  x = (x ^ x >> 27) * 0x94d049bb133111ebu;
  return x ^ x >> 31;
}

void add_paths(const Nb101Graph& g, int vertex, int number, std::vector<int>& paths) {
  for (int to = vertex + 1; to < g.vertices; ++to) {
    if (!g.edge(vertex, to)) continue;
    // Counting from 1, a sequence's number is that of base 3 with the digits 1, 2, 3: no two lengths meet.
    if (to == g.vertices - 1) paths.push_back(number);
    else add_paths(g, to, number * 3 + 1 + g.op[static_cast<size_t>(to)], paths);
  }
}

}  // namespace

std::optional<Nb101Graph> prune(const Nb101Graph& g) {
  const unsigned kept = on_paths(g);
  if (!(kept & 1)) return {};
  Nb101Graph pruned;
  pruned.vertices = std::popcount(kept);
  std::array<int, Nb101Graph::kMaxVertices> place{};
  for (int v = 0, next = 0; v < g.vertices; ++v)
    if (kept >> v & 1) place[static_cast<size_t>(v)] = next++;
  for (int v = 0; v < g.vertices; ++v) {
    if (!(kept >> v & 1)) continue;
    const auto at = static_cast<size_t>(place[static_cast<size_t>(v)]);
    if (v > 0 && v < g.vertices - 1) pruned.op[at] = g.op[static_cast<size_t>(v)];
    for (int to = v + 1; to < g.vertices; ++to)
      if (g.edge(v, to) && (kept >> to & 1))
        pruned.out[at] |= static_cast<uint8_t>(1u << place[static_cast<size_t>(to)]);
  }
  return pruned;
}

std::string nb101_hash(const Nb101Graph& g) {
  std::vector<std::string> hashes, next(static_cast<size_t>(g.vertices));
  for (int v = 0; v < g.vertices; ++v)  // Python's text of a tuple
    hashes.push_back(md5_hex(kernels::text('(', out_degree(g, v), ", ", in_degree(g, v), ", ", label(g, v), ')')));
  for (int round = 0; round < g.vertices; ++round) {
    for (int v = 0; v < g.vertices; ++v) {
      std::vector<std::string> in, out;
      for (int w = 0; w < g.vertices; ++w) {
        if (g.edge(w, v)) in.push_back(hashes[static_cast<size_t>(w)]);
        if (g.edge(v, w)) out.push_back(hashes[static_cast<size_t>(w)]);
      }
      std::sort(in.begin(), in.end());
      std::sort(out.begin(), out.end());
      std::string text;
      for (const std::string& h : in) text += h;
      text += '|';
      for (const std::string& h : out) text += h;
      next[static_cast<size_t>(v)] = md5_hex(text + '|' + hashes[static_cast<size_t>(v)]);
    }
    hashes.swap(next);
  }
  std::sort(hashes.begin(), hashes.end());
  std::string list = "[";  // Python's text of a list of strings
  for (const std::string& h : hashes) list += (list.size() > 1 ? ", '" : "'") + h + "'";
  return md5_hex(list + "]");
}

ArchKey nb101_key(const Nb101Graph& g) {
  // The same refinement with sums of mixed words in the place of sorted texts.
  std::array<uint64_t, Nb101Graph::kMaxVertices> hashes{}, next{};
  const auto n = static_cast<size_t>(g.vertices);
  for (size_t v = 0; v < n; ++v) {
    const int i = static_cast<int>(v);
    hashes[v] = mix(static_cast<uint64_t>((label(g, i) + 2) * 64 + out_degree(g, i) * 8 + in_degree(g, i) + 1));
  }
  for (size_t round = 0; round < n; ++round) {
    std::array<uint64_t, Nb101Graph::kMaxVertices> in{}, out{};
    for (size_t v = 0; v < n; ++v) {
      const uint64_t as_source = mix(hashes[v] + 0x9e3779b97f4a7c15u),
                     as_target = mix(hashes[v] + 0x3c6ef372fe94f82au);
      for (size_t w = 0; w < n; ++w) {
        if (g.out[v] >> w & 1) in[w] += as_source;
        if (g.out[w] >> v & 1) out[w] += as_target;
      }
    }
    for (size_t v = 0; v < n; ++v) next[v] = mix(mix(in[v] ^ std::rotl(out[v], 21)) + hashes[v]);
    hashes = next;
  }
  std::sort(hashes.begin(), hashes.begin() + g.vertices);
  std::array<int32_t, 2 * Nb101Graph::kMaxVertices> halves{};
  for (size_t v = 0; v < n; ++v) {
    halves[2 * v] = static_cast<int32_t>(hashes[v]);
    halves[2 * v + 1] = static_cast<int32_t>(hashes[v] >> 32);
  }
  return hash_numbers({halves.data(), 2 * n});
}

std::vector<int> nb101_paths(const Nb101Graph& g) {
  std::vector<int> paths;
  add_paths(g, 0, 0, paths);
  return paths;
}

std::array<int64_t, Nb101Graph::kMaxVertices> nb101_channels(const Nb101Graph& g, int64_t in, int64_t out) {
  std::array<int64_t, Nb101Graph::kMaxVertices> channels{};
  const int last = g.vertices - 1;
  channels[0] = in;
  channels[static_cast<size_t>(last)] = out;
  const int64_t parts = in_degree(g, last) - g.edge(0, last);
  int64_t remainder = parts > 0 ? out % parts : 0;
  for (int v = 1; v < last; ++v)
    if (g.edge(v, last)) channels[static_cast<size_t>(v)] = out / parts + (remainder-- > 0);
  for (int v = last; v-- > 1;)
    for (int to = v + 1; to < last && !g.edge(v, last); ++to)
      if (g.edge(v, to))
        channels[static_cast<size_t>(v)] =
            std::max(channels[static_cast<size_t>(v)], channels[static_cast<size_t>(to)]);
  return channels;
}

int64_t count_nb101_cells(int vertices) {
  MIXOP_CHECK(vertices >= 2 && vertices <= Nb101Graph::kMaxVertices, "NAS-Bench-101: cells of ", vertices,
              " vertices; there are 2 to 7");
  std::vector<ArchKey> keys;
  Nb101Graph g;
  for (g.vertices = 2; g.vertices <= vertices; ++g.vertices) {
    int labelings = 1;
    for (int v = 2; v < g.vertices; ++v) labelings *= Nb101Graph::kOps;
    const int slots = g.vertices * (g.vertices - 1) / 2;
    for (unsigned bits = 0; bits < 1u << slots; ++bits) {
      if (std::popcount(bits) > Nb101Graph::kMaxEdges) continue;
      g.out.fill(0);
      for (int from = 0, slot = 0; from < g.vertices; ++from)
        for (int to = from + 1; to < g.vertices; ++to, ++slot)
          g.out[static_cast<size_t>(from)] |= static_cast<uint8_t>((bits >> slot & 1) << to);
      if (std::popcount(on_paths(g)) != g.vertices) continue;
      for (int labeling = 0; labeling < labelings; ++labeling) {
        for (int v = 1, rest = labeling; v < g.vertices - 1; ++v, rest /= Nb101Graph::kOps)
          g.op[static_cast<size_t>(v)] = static_cast<int8_t>(rest % Nb101Graph::kOps);
        keys.push_back(nb101_key(g));
      }
    }
  }
  std::sort(keys.begin(), keys.end());
  return std::unique(keys.begin(), keys.end()) - keys.begin();
}

}  // namespace mixop::nas
