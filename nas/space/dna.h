// The DNA of Large-Scale Evolution of Image Classifiers (Real et al. 2017): a graph whose vertices are activations
// and whose edges are identities or convolutions, and a learning rate. It grows and shrinks by mutations alone; it
// is not built step by step.
//
// The numbers: learning rate, next free id, how many vertices; two a vertex (id, activated); eight an edge (id,
// vertex id from, vertex id to, convolution, filters, half height, half width, stride). Vertices are in topological
// order, the images first, the classifier's input last. The first edge into a vertex is its primary one, which
// decides its shape. Ids stay for life, and weights are named by them, so that a child finds its parent's weights.
#pragma once

#include "nas/space/space.h"

namespace mixop::nas {

struct Dna {
  /// Steps of the logarithmic genes in an octave.
  static constexpr int kOctave = 1024;
  /// Where genes end, so that sizes fit their types; no evolution comes near.
  static constexpr int32_t kMostSteps = 30 * kOctave, kMostHalf = 1000, kMostStride = 20;

  struct Vertex {
    int32_t id;
    int32_t activated;  ///< 1: batch norm and relu; 0: linear
  };
  struct Edge {
    int32_t id, from, to;                     ///< vertices by id
    int32_t convolution = 0;                  ///< 0: identity, and the genes below are 0
    int32_t filters = 0;                      ///< log2(output channels / input channels) in steps
    int32_t half_height = 0, half_width = 0;  ///< the kernel is 2h+1 by 2w+1
    int32_t stride = 0;                       ///< the map is sampled every 2^stride pixels
  };
  int32_t lr = 0;  ///< log2(learning rate / 0.1) in steps
  int32_t next_id = 3;
  std::vector<Vertex> vertices{{0, 0}, {1, 0}};
  std::vector<Edge> edges{{2, 0, 1}};

  static Dna from(const Arch& arch);
  Arch numbers() const;
  size_t position(int32_t vertex) const;  ///< of the vertex with that id
  size_t edges_into(int32_t vertex) const;
  size_t edges_out_of(int32_t vertex) const;
  double learning_rate() const;
};

class DnaSpace final : public Space {
 public:
  /// sample() draws the trivial genome after 0 to `mutations` mutations (uniformly), 0 to 10,000. Throws
  /// mixop::Error for other numbers.
  explicit DnaSpace(int mutations);

  std::string name() const override { return "dna"; }
  std::string describe() const override;
  /// "lr:0 next:5 v0:linear v3:relu v1:linear e4:0-3:conv:3x3:s1:f0 e2:3-1:identity"; lr and f in steps of
  /// 1/1024 octave about 0.1 and the input channels, s the exponent of the stride.
  Arch parse(std::string_view text) const override;
  std::string format(const Arch& arch) const override;
  std::optional<std::string> find_fault(const Arch& arch) const override;
  bool next(const Arch&, Decision&) const override { return false; }
  std::vector<int> kinds() const override { return {}; }
  Arch sample(Random& random) const override;
  /// The trivial genome: a linear classifier of the mean pixel.
  Arch start(Random&) const override { return Dna{}.numbers(); }
  /// One of the eleven, drawn uniformly among those that the genome allows; Child::what is its name in the paper.
  Child mutate(const Arch& arch, Random& random) const override;
  /// One mutation with probability `rate`.
  Arch redraw(const Arch& arch, double rate, Random& random) const override;
  /// One of the parents with equal odds: the paper crosses nothing, and ids of different lines mean nothing to each
  /// other.
  Arch crossover(const Arch& a, const Arch& b, Random& random) const override;
  /// Empty: there are too many to list.
  std::vector<Arch> neighbours(const Arch&) const override { return {}; }
  double count() const override;
  size_t features(Encoding) const override { return 0; }
  /// Global mean and linear classifier behind the last vertex; scale.channels and scale.cells do not count.
  NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                       const NetworkScale& scale, bool training) const override;
  /// The learning-rate gene.
  TrainingChoices training(const Arch& arch) const override;
  std::string draw_dot(const Arch& arch) const override;

 private:
  int mutations_;
};

/// Names of the eleven mutations, in the paper's order.
std::span<const std::string_view> dna_mutations();
/// Makes that mutation; false: the genome has no place for it and is unchanged.
bool mutate_dna(Dna& dna, size_t mutation, Random& random);

}  // namespace mixop::nas
