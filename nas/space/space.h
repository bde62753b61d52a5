// A search space: what can be chosen. An architecture is a list of numbers whose meaning is the space's to say;
// most spaces are told by one function, next(): the choice that follows a list of choices. Drawing, repairing,
// crossing and stepping through the neighbours all follow from it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "nas/random.h"

namespace mixop::autograd {
class Graph;
struct Value;
}  // namespace mixop::autograd

namespace mixop::nas {

struct NetworkOutputs;
struct Stores;

/// The choices in the order of the space. Lengths may differ within a space.
using Arch = std::vector<int32_t>;

/// Names an architecture up to what its space holds to be the same (128 bits: no collisions in practice).
struct ArchKey {
  uint64_t high = 0, low = 0;
  auto operator<=>(const ArchKey&) const = default;
};
struct ArchKeyHash {
  size_t operator()(const ArchKey& k) const { return k.low; }
};
/// A key of any numbers.
ArchKey hash_numbers(std::span<const int32_t> numbers);

/// One choice on the way from nothing to an architecture.
struct Decision {
  int kind = 0;                ///< decisions of one kind choose from the same values 0 .. Space::kinds()[kind]-1
  std::vector<int32_t> legal;  ///< the values that may be chosen here, ascending, at least one
  int layer = 0;               ///< the layer, node or block that the choice describes
  int source = -1;             ///< >= 0: a choice of 0 or 1, whether layer `source` feeds `layer` (skip anchors)
};

/// An architecture made of another.
struct Child {
  Arch arch;
  bool inherits = true;        ///< may begin with its parent's weights where shapes agree
  std::string_view what = {};  ///< name of the mutation, for logs
};

enum class Encoding : uint8_t { kOneHot, kPath };

/// The sizes that an architecture leaves open when it is trained.
struct NetworkScale {
  int64_t channels = 16;  ///< of the first stage
  int cells = 1;          ///< repetitions of a cell in each stage, in the sense of the space
  int64_t classes = 10, height = 32, width = 32, image_channels = 3;
};

/// What an architecture says about its own training; empty: nothing, the evaluator's settings hold.
struct TrainingChoices {
  std::optional<double> lr{};
  std::string optimizer{}, augmentation{};
};

class Space {
 public:
  virtual ~Space() = default;

  /// "nb201": what parse and the command line call it.
  virtual std::string name() const = 0;
  /// One line for a reader.
  virtual std::string describe() const = 0;

  // ---- text
  /// Reads the text form. Throws mixop::Error naming the position and what was expected. The result is valid.
  virtual Arch parse(std::string_view text) const = 0;
  /// The text form, one line; parse() reads it back to the same numbers.
  virtual std::string format(const Arch& arch) const = 0;
  /// What is wrong with the numbers, or nothing.
  virtual std::optional<std::string> find_fault(const Arch& arch) const;
  /// Throws mixop::Error with the fault.
  void validate(const Arch& arch) const;

  // ---- step by step
  /// The decision that follows `prefix` (which is the beginning of a valid architecture); false when it is
  /// complete. A space that is not built step by step has no kinds and returns false.
  virtual bool next(const Arch& prefix, Decision& decision) const = 0;
  /// How many values the decisions of each kind have; empty: the space is not built step by step.
  virtual std::vector<int> kinds() const = 0;
  /// What a table of values (Q-learning) tells apart before the next decision; by default the position and the last
  /// choice.
  virtual std::vector<int32_t> state(const Arch& prefix) const;

  // ---- drawing and changing; results are valid
  /// A uniform draw: of each decision's legal values unless the space says otherwise.
  virtual Arch sample(Random& random) const;
  /// Where a search that grows its architectures from small ones begins; by default a draw.
  virtual Arch start(Random& random) const { return sample(random); }
  /// One mutation, as the literature of the space defines it. By default one decision, drawn uniformly, takes
  /// another legal value.
  virtual Child mutate(const Arch& arch, Random& random) const;
  /// Every decision is drawn anew with probability `rate` (the mutation of genetic algorithms).
  virtual Arch redraw(const Arch& arch, double rate, Random& random) const;
  /// Of every decision the value of a or b with equal odds; crossing equal parents gives the parent.
  virtual Arch crossover(const Arch& a, const Arch& b, Random& random) const;
  /// All architectures at one change from `arch`, in a fixed order, without `arch`.
  virtual std::vector<Arch> neighbours(const Arch& arch) const;

  // ---- identity and numbers
  /// Equal for architectures that are the same network where the space defines it, else for equal numbers.
  virtual ArchKey key(const Arch& arch) const { return hash_numbers(arch); }
  /// How many valid lists of numbers there are (exact below 2^53); infinite for unbounded spaces.
  virtual double count() const = 0;
  /// How many of them are different by key(); nothing when only an enumeration longer than a minute could tell.
  virtual std::optional<int64_t> count_classes() const { return {}; }

  // ---- encodings
  /// Length of an encoding; 0: the space has none of this kind. One-hot: by default of fixed-length spaces,
  /// position by position.
  virtual size_t features(Encoding encoding) const;
  /// Writes features(encoding) numbers, 0 or 1.
  virtual void encode(const Arch& arch, Encoding encoding, std::span<float> to) const;

  // ---- networks
  /// Adds the network of a valid architecture to a graph: images [N,H,W,image_channels] to logits [N,classes].
  /// Throws mixop::Error when the space has none, or the images are too small for this architecture.
  virtual NetworkOutputs build(autograd::Graph& g, autograd::Value images, Stores& stores, const Arch& arch,
                               const NetworkScale& scale, bool training) const;
  virtual TrainingChoices training(const Arch&) const { return {}; }

  // ---- pictures
  /// Graphviz source; throws mixop::Error when the space draws none.
  virtual std::string draw_dot(const Arch& arch) const;

 protected:
  /// Follows next() from the empty list; `choose` picks one of the legal values of each decision.
  using Choose = std::function<int32_t(const Decision& decision, size_t position)>;
  Arch walk(const Choose& choose) const;
};

/// The value itself where it is legal, else the nearest legal one below it, else the smallest.
int32_t nearest_legal(const Decision& decision, int32_t value);

}  // namespace mixop::nas
