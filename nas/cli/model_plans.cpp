#include "nas/cli/model_plans.h"

#include "kernels/core/exec.h"
#include "nas/cli/device_option.h"
#include "nas/cli/usage.h"

namespace mixop::cli {

void PlanOptions::add_to(CLI::App& command) {
  model.add_to(command);
  command.add_option("--batch", batch, "Images in a step (supernet 64, network 96)")->check(CLI::Range(1, 1 << 20));
  command
      .add_option("--lowering", lowering,
                  "Of the supernet: grouped (by source), reference (a node per edge and operation)")
      ->check(CLI::IsMember({"grouped", "reference"}));
  command.add_option("--drop-path", drop_path, "Drop-path probability at the end of training; 0: no masks")
      ->check(CLI::Range(0.0, 1.0));
  command.add_option("--threads", threads, "Threads; workspaces depend on it (default: all)")
      ->check(CLI::Range(1, 1024));
  command.add_option("--device", device, "cpu, cuda or cuda:N: whose implementations");
  command.add_flag("--tf32", tf32, "On a GPU round the factors of matrix products to TF32");
  command.add_option("--storage", storage, "On a GPU how activations are stored: float32, bf16")
      ->check(CLI::IsMember(storage_names()));
}

ModelPlans compile_plans(const PlanOptions& o) {
  const int threads = o.threads ? o.threads : kernels::default_threads();
  autograd::CompileOptions compile{.threads = threads, .device = open_device(o.device), .tf32 = o.tf32};
  compile.bf16 = stores_bf16(o.storage, compile.device);
  ModelPlans result;
  result.threads = threads;
  if (o.model.supernet()) {
    nas::DartsOptions options;
    options.net = o.model.supernet_options();
    if (o.lowering) options.net.lowering = nas::parse_lowering(*o.lowering);
    result.title = kernels::text("supernet: ", describe_sizes(options.net), ", ",
                                 nas::lowering_name(options.net.lowering), " lowering");
    result.size = nas::measure_supernet(options.net);
    const int64_t batch = result.batch = o.batch ? o.batch : 64;
    result.search = std::make_unique<nas::DartsSearch>(
        options, nas::DartsSearch::BatchSizes{{batch}, {batch}, {batch}}, kernels::DType::kF32, compile);
    result.arena = result.search->arena_bytes();
    result.plans = {{"architecture step", &result.search->arch_plan()},
                    {"weight step", &result.search->weight_plan()},
                    {"evaluation", &result.search->eval_plan()}};
  } else {
    if (o.lowering) throw UsageError("--lowering is for the supernet, not for derived networks");
    nas::TrainOptions options;
    options.net = o.model.network_options();
    options.drop_path_prob = o.drop_path;
    result.title = (options.net.genotype.name.empty() ? "network" : options.net.genotype.name) + ": " +
                   describe_sizes(options.net);
    result.size = nas::measure_network(options.net);
    const int64_t batch = result.batch = o.batch ? o.batch : 96;
    result.training = std::make_unique<nas::NetworkTraining>(options, std::vector{batch}, std::vector{batch},
                                                             kernels::DType::kF32, compile);
    result.arena = result.training->arena_bytes();
    result.plans = {{"training step", &result.training->train_plan()},
                    {"evaluation", &result.training->eval_plan()}};
  }
  return result;
}

}  // namespace mixop::cli
