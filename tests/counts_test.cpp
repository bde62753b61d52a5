// Parameters and multiply-adds of the search network and of published networks, as the papers' code has them.
#include <gtest/gtest.h>

#include "kernels/core/check.h"
#include "nas/genotypes_published.h"
#include "nas/network.h"

namespace mixop::nas {
namespace {

struct Count {
  const char* name;
  int64_t parameters;
  double mmacs;  ///< millions, as printed in tables: two or three decimals
};

/// "500.99" is what 500.9856 rounds to.
void expect_rounds_to(double macs, double mmacs, double unit) { EXPECT_NEAR(macs / 1e6, mmacs, unit / 2 * 1.0001); }

NetworkOptions cifar(const Genotype& genotype, int64_t channels = 36, int cells = 20) {
  NetworkOptions o;
  o.genotype = genotype;
  o.channels = channels;
  o.cells = cells;
  return o;
}

NetworkOptions imagenet(const Genotype& genotype) {
  NetworkOptions o = cifar(genotype, 48, 14);
  o.height = o.width = 224;
  o.classes = 1000;
  o.imagenet_stem = true;
  return o;
}

/// Every node has the same operation on states 0 and 1.
Genotype uniform_cells(const std::string& op) {
  std::string edges;
  for (int n = 0; n < 4; ++n) edges += "('" + op + "', 0), ('" + op + "', 1), ";
  return parse_genotype("Genotype(normal=[" + edges + "], normal_concat=range(2, 6), reduce=[" + edges +
                        "], reduce_concat=range(2, 6))");
}

TEST(Counts, Supernet) {
  SupernetOptions o;
  EXPECT_EQ(measure_supernet(o).parameters, 1930618);
  o.channels = 4;
  o.cells = 5;
  EXPECT_EQ(measure_supernet(o).parameters, 136182);
  expect_rounds_to(measure_supernet(o).macs, 22.885, 1e-3);
  o.channels = o.cells = 8;
  EXPECT_EQ(measure_supernet(o).parameters, 597890);
  expect_rounds_to(measure_supernet(o).macs, 100.255, 1e-3);
}

TEST(Counts, PublishedOnCifar) {
  for (const Count& c :
       {Count{"DARTS_V1", 3169414, 500.99}, Count{"DARTS_V2", 3349342, 528.36}, Count{"PDARTS", 3433798, 532.17},
        Count{"PC_DARTS", 3634678, 556.67}, Count{"PC_DARTS_image", 3721510, 570.47},
        Count{"GDAS_V1", 3368782, 519.43}, Count{"SNAS", 2661382, 422.22}}) {
    SCOPED_TRACE(c.name);
    const NetworkSize size = measure_network(cifar(load_genotype(c.name)));
    EXPECT_EQ(size.parameters, c.parameters);
    expect_rounds_to(size.macs, c.mmacs, 1e-2);
  }
}

TEST(Counts, PublishedOnImageNet) {
  for (const Count& c :
       {Count{"DARTS_V1", 4510432, 505.86}, Count{"DARTS_V2", 4718752, 529.91}, Count{"PDARTS", 4944352, 542.82},
        Count{"PC_DARTS", 5270560, 571.14}, Count{"PC_DARTS_image", 5342464, 581.63},
        Count{"GDAS_V1", 4969216, 537.60}, Count{"SNAS", 3939328, 438.04}}) {
    SCOPED_TRACE(c.name);
    const NetworkSize size = measure_network(imagenet(load_genotype(c.name)));
    EXPECT_EQ(size.parameters, c.parameters);
    expect_rounds_to(size.macs, c.mmacs, 1e-2);
  }
}

TEST(Counts, UniformCells) {
  struct Row {
    Count cifar, imagenet;
  };
  for (const Row& r : {Row{{"skip_connect", 1580950, 248.51}, {"skip_connect", 2800480, 294.30}},
                       Row{{"max_pool_3x3", 1370134, 227.27}, {"max_pool_3x3", 2427232, 265.40}},
                       Row{{"sep_conv_3x3", 4701718, 711.67}, {"sep_conv_3x3", 6548320, 712.01}},
                       Row{{"sep_conv_5x5", 5144086, 817.83}, {"sep_conv_5x5", 6966112, 786.67}}}) {
    SCOPED_TRACE(r.cifar.name);
    const Genotype g = uniform_cells(r.cifar.name);
    EXPECT_EQ(measure_network(cifar(g)).parameters, r.cifar.parameters);
    expect_rounds_to(measure_network(cifar(g)).macs, r.cifar.mmacs, 1e-2);
    EXPECT_EQ(measure_network(imagenet(g)).parameters, r.imagenet.parameters);
    expect_rounds_to(measure_network(imagenet(g)).macs, r.imagenet.mmacs, 1e-2);
  }
}

TEST(Counts, SmallNetworks) {
  for (const Count& c : {Count{"DARTS_V1", 232890, 41.356}, Count{"DARTS_V2", 246106, 43.445}}) {
    const NetworkSize size = measure_network(cifar(load_genotype(c.name), 16, 8));
    EXPECT_EQ(size.parameters, c.parameters);
    expect_rounds_to(size.macs, c.mmacs, 1e-3);
  }
}

TEST(Counts, AuxiliaryHeadCountsApart) {
  NetworkOptions o = cifar(load_genotype("DARTS_V2"));
  const double macs = measure_network(o).macs;
  EXPECT_EQ(measure_network(o).auxiliary_parameters, 0);
  o.auxiliary = true;
  EXPECT_EQ(measure_network(o).auxiliary_parameters, 476426);
  EXPECT_EQ(measure_network(o).parameters, 3349342);
  EXPECT_EQ(measure_network(o).macs, macs);
  o.classes = 100;
  EXPECT_EQ(measure_network(o).auxiliary_parameters, 545636);
  EXPECT_EQ(measure_network(o).parameters, 3401272);
}

}  // namespace
}  // namespace mixop::nas
