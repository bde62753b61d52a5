// The network derived from a genotype, as it is trained from scratch (reference 1.6 for CIFAR, 1.7 for ImageNet).
#pragma once

#include <functional>

#include "nas/space/space.h"
#include "nas/supernet.h"

namespace mixop::nas {

struct NetworkOptions {
  Genotype genotype;
  int64_t channels = 36, classes = 10;
  int cells = 20;
  int64_t height = 32, width = 32, image_channels = 3;
  bool auxiliary = false;      ///< a second classifier after cell 2*cells/3, in training only
  bool imagenet_stem = false;  ///< three stride-2 convolutions in place of one 3x3
  bool drop_path = false;      ///< masks per sample and operation; the keep probability is state "drop_path.keep"
  uint64_t seed = 0;           ///< of the drop-path masks; their counter is state "counter"
  /// With drop_path: ScheduledDropPath in place of the one probability of all cells.
  struct Schedule {
    double drop = 0;    ///< of the last cell at the end
    int64_t steps = 0;  ///< of the whole training; 0: not scheduled
  } schedule{};

  void check() const;
};

/// Adds the network; reductions are at cells/3 and 2*cells/3. Drop-path and the auxiliary head exist with training
/// only.
NetworkOutputs build_network(Graph& g, Value images, Stores& stores, const NetworkOptions& options, bool training);

/// The probability to keep of ScheduledDropPath (Zoph et al. 2018, as in the authors' code), [1]: 1 - (cell + 1) /
/// cells
/// * drop * counter / steps, counter [1] counting the steps done.
Value scheduled_keep(Graph& g, Value counter, const NetworkOptions::Schedule& schedule, int cell, int cells);

/// Parameters and multiply-adds (convolutions and linear layers) of one image through the network.
struct NetworkSize {
  int64_t parameters = 0;  ///< without the auxiliary head, as published
  int64_t auxiliary_parameters = 0;
  double macs = 0;
};
NetworkSize measure_network(const NetworkOptions& options);
/// Adds some network to a graph.
using NetworkBuilder = std::function<NetworkOutputs(Graph& g, Value images, Stores& stores, bool training)>;
NetworkSize measure_network(const NetworkBuilder& build, int64_t height, int64_t width, int64_t image_channels);
NetworkSize measure_supernet(const SupernetOptions& options);
/// Throws mixop::Error as Space::build.
NetworkSize measure_arch(const Space& space, const Arch& arch, const NetworkScale& scale);

}  // namespace mixop::nas
