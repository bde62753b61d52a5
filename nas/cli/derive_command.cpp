// mixop derive: architectures of a run, at any epoch of the history of its alphas, and pictures of that history.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <limits>
#include <set>

#include "autograd/checkpoint.h"
#include "autograd/files.h"
#include "kernels/core/check.h"
#include "nas/cli/alpha_run.h"
#include "nas/cli/checkpoint_store.h"
#include "nas/cli/commands.h"
#include "nas/cli/run_data.h"
#include "nas/draw.h"
#include "nas/sharing/path_scorer.h"

namespace mixop::cli {
namespace fs = std::filesystem;

namespace {

constexpr int kDrawsPerChoice = 100;  // for each of --top

/// An architecture near the alphas, and how strong what it takes is: the sum of logarithms.
struct Near {
  nas::Arch arch;
  double strength;
  nas::Score score{};
};

double strength_of(const nas::MixedSpace& space, const std::vector<nas::TableValues>& tables,
                   const nas::Arch& arch) {
  const std::vector<nas::RowChoices> path = space.path(arch);
  const std::vector<nas::MixTable> names = space.tables();
  double sum = 0;
  for (size_t t = 0; t < path.size(); ++t)
    for (size_t row = 0; row < path[t].size(); ++row)
      if (path[t][row] >= 0)
        sum += std::log(tables[t][row * names[t].columns.size() + static_cast<size_t>(path[t][row])]);
  return sum;
}

/// That of the alphas itself first, then different ones, drawn in proportion to the strengths: the largest of each
/// row after Gumbel noise on the logarithms. The strongest `top` of all.
std::vector<Near> near(const AlphaRun& run, int epoch, int top, uint64_t seed) {
  const nas::MixedSpace& space = run.space(epoch);
  const std::vector<nas::TableValues> tables = run.method(epoch).strengths(space, run.alphas(epoch));
  nas::Random random(seed);
  std::vector<Near> all;
  std::set<nas::Arch> seen;
  for (int i = 0; i <= top * kDrawsPerChoice; ++i) {
    std::vector<nas::TableValues> noisy = tables;
    if (i > 0)
      for (nas::TableValues& table : noisy)
        for (double& p : table) p /= -std::log1p(-random.uniform());
    const nas::Arch arch = space.decode(noisy);
    if (seen.insert(arch).second) all.push_back({arch, strength_of(space, tables, arch)});
  }
  std::stable_sort(all.begin() + 1, all.end(),
                   [](const Near& a, const Near& b) { return a.strength > b.strength; });
  all.resize(std::min(all.size(), static_cast<size_t>(top)));
  return all;
}

/// The candidates that the supernet has in that stage of the method, by table.
std::vector<std::vector<bool>> kept(const nas::AlphaMethod& method, const nas::MixedSpace& space) {
  nas::Graph g;
  nas::Stores stores(kernels::DType::kF32, 0);
  std::vector<std::vector<bool>> all;
  for (const nas::Mixing& m : method.mix(g, stores, space, nas::StepKind::kEvaluation)) all.push_back(m.kept);
  return all;
}

struct Derive {
  std::string run_path, by = "alpha", out;
  int64_t epoch = -1, top = 10, images = 0, seed = 0;
  int threads = 0;

  int run() const {
    const AlphaRun run(run_path);
    const int last =
        epoch < 0 ? run.epochs() - 1 : static_cast<int>(std::min<int64_t>(epoch, std::numeric_limits<int>::max()));
    std::string genotype = run.architecture(last);
    std::printf("epoch %d of %s\n", last, run_path.c_str());
    if (by == "accuracy") genotype = best_by_accuracy(run, last);
    std::printf("genotype = %s\n", genotype.c_str());
    draw(run, genotype);
    return kOk;
  }

  /// Accuracy with the supernet's weights, norms taking the statistics of the batch.
  std::string best_by_accuracy(const AlphaRun& run, int at) const {
    const Config& config = run.config();
    MIXOP_CHECK(run.stage(at) == run.stage(run.epochs() - 1), "--by accuracy: epoch ", at, " is of stage ",
                run.stage(at), ", the weights that are kept are of stage ", run.stage(run.epochs() - 1));
    const datasets::Dataset train = datasets::open_train(config.text("data.name"), config.text("data.root"));
    const std::unique_ptr<nas::MixedSpace> space = run.make_space(at, train);
    const auto used = first_indices(train.size(), config.integer("data.train_images"), "data.train_images");
    const auto halves = datasets::darts_split(static_cast<int64_t>(used.size()), config.real("data.train_portion"));
    const auto count = static_cast<int64_t>(halves.alphas.size());
    MIXOP_CHECK(images <= count, "--images ", images, ": the validation half has ", count);
    std::vector<int64_t> indices = halves.alphas;
    if (images) indices.resize(static_cast<size_t>(images));
    datasets::Augment augment = training_augment(config, train);
    augment.crop = augment.flip = false;
    augment.cutout = 0;
    datasets::Loader loader(train, indices, config.integer("search.batch"), augment, datasets::Order::kSequential,
                            0);

    const fs::path latest = run.path() / "ckpt" / "latest";
    MIXOP_CHECK(fs::exists(latest), run_path, ": has no checkpoint, and so no weights of the supernet");
    const Checkpoint saved = read_checkpoint(latest);
    nas::Stores stores(kernels::DType::kF32, 0);
    nas::PathScorer scorer(*space, stores, {.kept = kept(run.method(at), *space)}, {batch_sizes(loader)},
                           std::make_shared<autograd::Arena>(), {.threads = threads});
    for (autograd::TensorStore* store : {&stores.weights, &stores.state}) store->bind();
    autograd::from_safetensors(saved.file("weights.safetensors"), (saved.path / "weights.safetensors").string(),
                               {&stores.weights, &stores.state});
    std::vector<Near> all = near(run, at, static_cast<int>(top), static_cast<uint64_t>(seed));
    for (Near& n : all) {
      const nas::PathSample path = nas::one_path(*space, n.arch);
      for (int64_t i = 0; i < loader.batches_per_epoch(); ++i) n.score += scorer.score(view(loader.next()), path);
    }
    std::stable_sort(all.begin(), all.end(),
                     [](const Near& a, const Near& b) { return a.score.correct > b.score.correct; });
    std::printf("%zu architectures near the alphas, on %zu validation images with the weights of %s\n", all.size(),
                indices.size(), fs::weakly_canonical(saved.path).c_str());
    for (const Near& n : all)
      std::printf("%s\n", fmt::format("top1 {:.2f} %  loss {:.4f}  strength {:.3f}  {}", 100 * n.score.accuracy(),
                                      n.score.mean_loss(), n.strength, space->space().format(n.arch))
                              .c_str());
    return space->space().format(all.front().arch);
  }

  void draw(const AlphaRun& run, const std::string& genotype) const {
    const fs::path folder = out.empty() ? run.path() / "derived" : fs::path(out);
    std::error_code error;
    fs::create_directories(folder, error);
    MIXOP_CHECK(!error, folder.string(), ": cannot be made: ", error.message());
    const auto write = [&](const std::string& name, const std::string& text) {
      autograd::write_file(folder / name, text);
    };
    write("genotype.txt", genotype + "\n");
    const std::vector<nas::StrengthHistory> histories = run.strengths();
    for (const nas::StrengthHistory& h : histories) write(h.table.name + ".svg", nas::plot_strengths(h));
    write("entropy.svg", nas::plot_entropy(histories));
    if (run.space(0).space().name() == "darts") {
      const nas::Genotype found = nas::parse_genotype(genotype);
      for (const nas::CellKind kind : {nas::CellKind::normal, nas::CellKind::reduce})
        write(fmt::format("cell_{}.svg", nas::cell_kind_name(kind)),
              nas::draw_svg(found.cell(kind), fmt::format("{} cell", nas::cell_kind_name(kind))));
      std::vector<std::pair<int, nas::Genotype>> stages;
      std::set<int> epochs;
      for (int i = 0; i < 4; ++i) epochs.insert((run.epochs() - 1) * i / 3);
      for (const int e : epochs) stages.push_back({e, nas::parse_genotype(run.architecture(e))});
      write("evolution.svg", nas::draw_evolution(stages));
    }
    std::printf("pictures in %s\n", folder.c_str());
  }
};

}  // namespace

void add_derive(CLI::App& app, Action& action) {
  CLI::App* sub = app.add_subcommand("derive", "architectures of a search of alphas, and pictures of its history");
  const auto derive = std::make_shared<Derive>();
  constexpr int64_t kMost = std::numeric_limits<int64_t>::max();
  sub->add_option("run", derive->run_path, "directory of a run of `mixop search`, of a method that learns alphas")
      ->required();
  sub->add_option("--epoch", derive->epoch, "whose alphas, counted from 0; default: the last")
      ->check(CLI::Range(int64_t{0}, kMost));
  sub->add_option("--by", derive->by,
                  "alpha: the strongest; accuracy: the best of --top near the alphas, by the supernet's weights")
      ->check(CLI::IsMember({"alpha", "accuracy"}));
  sub->add_option("--top", derive->top, "how many are evaluated")->check(CLI::Range(int64_t{1}, int64_t{10000}));
  sub->add_option("--images", derive->images, "on the first N validation images, 0: all")
      ->check(CLI::Range(int64_t{0}, kMost));
  sub->add_option("--seed", derive->seed, "of the draws near the alphas")->check(CLI::Range(int64_t{0}, kMost));
  sub->add_option("--out", derive->out, "folder of the pictures, default: RUN/derived");
  sub->add_option("--threads", derive->threads, "0: all cores")->check(CLI::Range(0, 4096));
  sub->callback([derive, &action] { action = [derive] { return derive->run(); }; });
}

}  // namespace mixop::cli
