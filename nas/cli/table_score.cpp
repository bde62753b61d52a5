#include "nas/cli/table_score.h"

#include "nas/cli/run_data.h"

namespace mixop::cli {

std::vector<Key> table_score_keys() {
  return {text_key("score.table", "--table", "", "benchmark table that scores the result")
              .when_resumed(OnResume::kMayChange),
          int_key("score.ranked", "--ranked", 100, "architectures that measure the supernet's ranking by --table")
              .in(0, 15000),
          int_key("score.rank_batches", "--rank-batches", 10, "validation batches that score each; 0: all")
              .in(0, 1000000)};
}

TableScore::TableScore(const Config& config, const nas::Space& space)
    : batches_(config.integer("score.rank_batches")) {
  const std::string& file = config.text("score.table");
  if (file.empty()) return;
  table_ = nas::open_score_table(file, space);
  sample_ = nas::ranking_sample(space, static_cast<int>(config.integer("score.ranked")));
}

std::string TableScore::report(const nas::MixedSpace& space, nas::Stores& stores, const nas::Arch& found,
                               datasets::Loader& loader, const nas::ImageSource& images,
                               const autograd::CompileOptions& compile) const {
  if (!table_) return "";
  nas::PathScorer scorer(space, stores, {.valid_images = images}, {batch_sizes(loader)},
                         std::make_shared<autograd::Arena>(compile.device), compile);
  std::vector<nas::ScoredPath> scored;
  for (const nas::Arch& arch : sample_) {
    loader.seek({0, 0});
    nas::Score score;
    for (int64_t i = 0; i < batches(loader.batches_per_epoch()); ++i)
      score += scorer.score(view(loader.next()), one_path(space, arch));
    scored.push_back({arch, 0, 100 * score.accuracy()});
  }
  return report(found, scored);
}

}  // namespace mixop::cli
