// The steps of a network as compiled plans, without data: of `plan` and `tune`.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "nas/cli/model_options.h"
#include "nas/search/darts.h"
#include "nas/train.h"

namespace mixop::cli {

/// The flags that say which plans.
struct PlanOptions {
  ModelOptions model;
  int64_t batch = 0;
  int threads = 0;
  double drop_path = 0.2;
  std::optional<std::string> lowering;  ///< of the supernet; grouped
  std::string device = "cpu";
  bool tf32 = false;
  std::string storage = "float32";

  void add_to(CLI::App& command);
};

struct ModelPlans {
  struct Named {
    std::string name;
    const autograd::Plan* plan;
  };
  std::string title;
  nas::NetworkSize size;
  int64_t batch = 0;
  int threads = 0;
  size_t arena = 0;  ///< bytes of all plans: they never run together
  std::vector<Named> plans;
  std::unique_ptr<nas::DartsSearch> search;        ///< owns them, or
  std::unique_ptr<nas::NetworkTraining> training;  ///< this
};

/// Opens the device and compiles the plans of a search (architecture, weight and evaluation step) or of training a
/// derived network (training and evaluation step). Throws as open_device() and ModelOptions do.
ModelPlans compile_plans(const PlanOptions& options);

}  // namespace mixop::cli
