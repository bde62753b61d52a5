// The dominant eigenvalue of a supernet against its whole Hessian, and the rule on series made up for it.
#include "nas/search/eigenvalue_stop.h"

#include <gtest/gtest.h>

#include <Eigen/Eigenvalues>

#include "tests/support/tiny_bilevel.h"

namespace mixop::test {
namespace {

using nas::DominantEigenvalue;
using nas::EigenvalueStop;

TEST(DominantEigenvalue, IsThatOfTheWholeHessian) {
  const TinyImages valid(3, 2);
  nas::Stores stores(kernels::DType::kF64, 3);
  DominantEigenvalue eigenvalue(stores, tiny_network(stores, 1), 3, {}, std::make_shared<autograd::Arena>());
  for (autograd::TensorStore* s : stores.all()) s->bind();
  const std::vector<double> weights = values_of(stores.weights), alphas = values_of(stores.alphas);
  const double value = eigenvalue.measure(valid.batch());
  EXPECT_EQ(eigenvalue.measure(valid.batch()), value) << "it starts from the same vector";
  EXPECT_EQ(values_of(stores.weights), weights);
  EXPECT_EQ(values_of(stores.alphas), alphas);

  const auto n = static_cast<Eigen::Index>(alphas.size());
  Eigen::MatrixXd hessian(n, n);
  TinyGradient gradient(stores, true, 3, 1);
  constexpr double kStep = 1e-6;
  for (Eigen::Index j = 0; j < n; ++j) {
    std::vector<double> unit(alphas.size()), at = alphas;
    unit[static_cast<size_t>(j)] = 1;
    const std::vector<double> column = eigenvalue.product(valid.batch(), unit);
    at[static_cast<size_t>(j)] += kStep;
    fill(stores.alphas, at);
    const std::vector<double> above = gradient(valid.batch());
    at[static_cast<size_t>(j)] -= 2 * kStep;
    fill(stores.alphas, at);
    const std::vector<double> below = gradient(valid.batch());
    fill(stores.alphas, alphas);
    for (Eigen::Index i = 0; i < n; ++i) {
      hessian(i, j) = column[static_cast<size_t>(i)];
      EXPECT_NEAR(hessian(i, j), (above[static_cast<size_t>(i)] - below[static_cast<size_t>(i)]) / (2 * kStep),
                  1e-7);
    }
  }
  EXPECT_LT((hessian - hessian.transpose()).norm(), 1e-12 * hessian.norm());
  const Eigen::VectorXd all = Eigen::SelfAdjointEigenSolver<Eigen::MatrixXd>(hessian).eigenvalues();
  EXPECT_NEAR(value, all.cwiseAbs().maxCoeff(), 0.01 * value);
  EXPECT_LE(value, all.cwiseAbs().maxCoeff() * (1 + 1e-12));
}

/// Feeds a series, one value each `every` epochs; returns the epoch after which it stopped, -1 if none.
int stop_after(EigenvalueStop& rule, const std::vector<double>& series, int every = 1) {
  int epoch = 0;
  for (const double v : series) {
    rule.add(epoch, v);
    if (rule.stopped()) return epoch;
    epoch += every;
  }
  return -1;
}

TEST(EigenvalueStop, ALevelSeriesGoesOn) {
  EigenvalueStop rule(1.3);
  EXPECT_EQ(stop_after(rule, std::vector<double>(50, 0.2)), -1);
}

TEST(EigenvalueStop, StopsOnARiseAndTakesTheAlphasFromBefore) {
  // 1 until epoch 14, then 2. The mean of 5 is 1.2 after epoch 15 and 1.4 after epoch 16, when that of four before
  // is still 1: that was over epochs 8 to 12.
  std::vector<double> series(15, 1);
  series.resize(30, 2);
  EigenvalueStop rule(1.3);
  EXPECT_EQ(stop_after(rule, series), 16);
  EXPECT_EQ(rule.stopped(), 10);
  rule.add(17, 0);
  EXPECT_EQ(rule.stopped(), 10) << "it stays stopped";
}

TEST(EigenvalueStop, CountsMeasurementsNotEpochs) {
  std::vector<double> series(15, 1);
  series.resize(30, 2);
  EigenvalueStop rule(1.3);
  EXPECT_EQ(stop_after(rule, series, 2), 32);
  EXPECT_EQ(rule.stopped(), 20);
}

TEST(EigenvalueStop, NotBeforeEpoch10) {
  std::vector<double> series;
  for (int i = 0; i < 30; ++i) series.push_back(std::pow(1.5, i));
  EigenvalueStop rule(1.3);
  EXPECT_EQ(stop_after(rule, series), 10);
  EXPECT_EQ(rule.stopped(), 4);
}

TEST(EigenvalueStop, ARiseOfExactlyTheFactorGoesOn) {
  std::vector<double> series(15, 1);
  series.resize(40, 1.5);
  EigenvalueStop never(1.5), sooner(1.39);
  EXPECT_EQ(stop_after(never, series), -1);
  EXPECT_EQ(stop_after(sooner, series), 18);
}

TEST(EigenvalueStop, GoesOnFromWhatWasSaved) {
  std::vector<double> series(15, 1);
  series.resize(30, 2);
  for (const int cut : {3, 16, 17}) {
    EigenvalueStop first(1.3), second(1.3);
    for (int e = 0; e < cut; ++e) first.add(e, series[static_cast<size_t>(e)]);
    second.load(nas::Json::parse(first.save().dump()));
    EXPECT_EQ(second.values(), first.values());
    EXPECT_EQ(second.stopped(), first.stopped());
    for (int e = cut; e < 17; ++e) second.add(e, series[static_cast<size_t>(e)]);
    EXPECT_EQ(second.stopped(), 10);
  }
}

}  // namespace
}  // namespace mixop::test
