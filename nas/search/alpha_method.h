// What DARTS and its successors differ in: how architecture parameters ("alphas") mix the candidates of a supernet,
// which loss they follow, what is drawn or scheduled, and which architecture they end at. The engine that trains
// alphas and weights (nas/search/darts.h) asks a method for these and knows no method by name.
//
// The host feeds a method's numbers (temperatures, noise, coefficients) to graph inputs of their names. What is fed
// follows from the epoch, the alphas and the random stream alone, so that a run resumes exactly.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "nas/json.h"
#include "nas/random.h"
#include "nas/search/settings.h"
#include "nas/sharing/mixed_space.h"

namespace mixop::nas {

/// A tensor of architecture parameters in stores.alphas.
struct AlphaTensor {
  std::string name;
  kernels::Shape shape;
  autograd::Init init = autograd::Init::normal(1e-3);
};

/// Which plan is about to run.
enum class StepKind : uint8_t {
  kAlphas,     ///< of the alphas, on validation images
  kWeights,    ///< of the weights, on training images
  kBoth,       ///< of both at once, on training images (single-level methods)
  kEvaluation  ///< nothing moves, nothing is drawn
};

/// Values of graph inputs by name, row-major. Plans without an input of that name are not fed.
using Feeds = std::map<std::string, std::vector<double>>;

class AlphaMethod {
 public:
  virtual ~AlphaMethod() = default;

  // What the graphs hold ---------------------------------------------------------------------------------------

  /// The network of the DARTS space as the method wants it.
  virtual std::unique_ptr<MixedSpace> make_space(const SupernetOptions& options) const {
    return darts_mixed_space(options);
  }
  /// Throws one clear line when the method cannot search that space.
  virtual void check(const MixedSpace&) const {}
  /// By default one for each table of the space, [rows, columns].
  virtual std::vector<AlphaTensor> alphas(const MixedSpace& space) const;
  /// What the tables of the space hold, in their order. By default the softmax of each row of alphas.
  virtual std::vector<Mixing> mix(Graph& g, Stores& stores, const MixedSpace& space, StepKind kind) const;
  /// What the step of the alphas minimises, [1]: `loss` is the cross-entropy of its batch.
  virtual Value alpha_loss(Graph&, Stores&, const MixedSpace&, Value loss) const { return loss; }

  // When and in which order ------------------------------------------------------------------------------------

  /// Both kinds of parameters learn together from the training images.
  virtual bool single_level() const { return false; }
  /// The step of the weights comes before that of the alphas.
  virtual bool weights_first() const { return false; }
  /// Whether there are steps of the alphas in that epoch, counted from 0.
  virtual bool moves_alphas(int) const { return true; }
  /// Sets what follows from the epoch, counted from 0.
  virtual void begin_epoch(int, int /*epochs*/) {}
  /// Draws what the next run needs. Returns the values of all choices of its graph (see Plan::choose), none when
  /// the graph has none.
  virtual std::vector<int32_t> begin_step(StepKind, Stores&, const MixedSpace&, Random&) { return {}; }
  /// What is to be fed now.
  const Feeds& feeds() const { return feeds_; }

  // Stages -----------------------------------------------------------------------------------------------------

  /// Networks that are searched one after the other, each with new weights for all epochs of the settings. Epochs
  /// count from 0 in every stage. A method of several keeps in save() which one it is in.
  virtual int stages() const { return 1; }
  /// Goes on to the next stage from the alphas at the end of this one; `space` is this one's.
  virtual void next_stage(const MixedSpace&, const std::vector<TableValues>& /*alphas*/) {}
  /// The alphas of a new stage begin where those of the last one ended.
  virtual bool carries_alphas() const { return false; }

  // What comes out ---------------------------------------------------------------------------------------------

  /// How strong each candidate is, for MixedSpace::decode: one table for each of the space. By default the softmax
  /// of each row.
  virtual std::vector<TableValues> strengths(const MixedSpace& space, const std::vector<TableValues>& alphas) const;
  /// The architecture as text: a genotype of the DARTS space, or the form of the space.
  virtual std::string decode(const MixedSpace& space, const std::vector<TableValues>& alphas) const;
  /// More lines on the result, each ended by a line break; may be empty.
  virtual std::string remarks(const MixedSpace&, const std::vector<TableValues>& /*alphas*/) const { return ""; }
  /// Whatever of the method's state follows neither from the epoch nor from the stores.
  virtual Json save() const { return Json::object(); }
  virtual void load(const Json&) {}

 protected:
  Feeds feeds_;
};

/// The tensor of the store; created on first use.
Value alpha_tensor(Graph& g, Stores& stores, const AlphaTensor& alphas);

/// From `first` in epoch 0 to `last` in the last one, along a straight line.
double linear_schedule(double first, double last, int epoch, int epochs);

/// The softmax of each row of `columns` values.
TableValues softmax_rows(const TableValues& values, int columns);

/// What a method's paper or code uses where it differs from DARTS.
struct AlphaDefaults {
  int epochs = 50, batch = 64, cells = 8, channels = 16;
  double lr = 0.025, lr_min = 0.001, weight_decay = 3e-4;
  bool nesterov = false;
  double arch_lr = 3e-4, arch_beta1 = 0.5, arch_weight_decay = 1e-3;
  double arch_clip = 0;        ///< global L2 norm of the gradient of the alphas, 0: off
  double train_portion = 0.5;  ///< share of the images that trains the weights
};

/// A method as the command line knows it.
struct AlphaMethodInfo {
  std::string name, help;  ///< "fair-darts"; one line with the paper
  std::vector<Setting> settings;
  AlphaDefaults defaults;
  /// Throws mixop::Error for settings that do not go together.
  std::unique_ptr<AlphaMethod> (*make)(const Settings& settings);
};

/// All methods, in the order of the help.
const std::vector<const AlphaMethodInfo*>& alpha_methods();
/// The method of that name; throws mixop::Error listing the known ones.
const AlphaMethodInfo& find_alpha_method(const std::string& name);

}  // namespace mixop::nas
