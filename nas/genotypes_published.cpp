#include "nas/genotypes_published.h"

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/core/check.h"

namespace mixop::nas {
namespace {

// Short names keep each list as compact as the tables of the papers.
constexpr CellOp max3 = CellOp::max_pool_3x3, avg3 = CellOp::avg_pool_3x3, skip = CellOp::skip_connect;
constexpr CellOp sep3 = CellOp::sep_conv_3x3, sep5 = CellOp::sep_conv_5x5, sep7 = CellOp::sep_conv_7x7;
constexpr CellOp dil3 = CellOp::dil_conv_3x3, dil5 = CellOp::dil_conv_5x5, conv17 = CellOp::conv_7x1_1x7;

std::vector<Genotype> make_published() {
  const std::vector<int> nodes4 = {2, 3, 4, 5};
  std::vector<Genotype> all;

  // DARTS, first order (Liu, Simonyan, Yang 2019), from the genotypes file of the authors' code.
  all.push_back({{{{sep3, 1}, {sep3, 0}, {skip, 0}, {sep3, 1}, {skip, 0}, {sep3, 1}, {sep3, 0}, {skip, 2}}, nodes4},
                 {{{max3, 0}, {max3, 1}, {skip, 2}, {max3, 0}, {max3, 0}, {skip, 2}, {skip, 2}, {avg3, 0}}, nodes4},
                 "DARTS_V1"});

  // DARTS, second order, from the same file; "DARTS" there.
  all.push_back({{{{sep3, 0}, {sep3, 1}, {sep3, 0}, {sep3, 1}, {sep3, 1}, {skip, 0}, {skip, 0}, {dil3, 2}}, nodes4},
                 {{{max3, 0}, {max3, 1}, {skip, 2}, {max3, 1}, {max3, 0}, {skip, 2}, {skip, 2}, {max3, 1}}, nodes4},
                 "DARTS_V2"});

  // P-DARTS (Chen, Xie, Wu, Tian 2019), found on CIFAR-10, from the authors' code.
  all.push_back({{{{skip, 0}, {dil3, 1}, {skip, 0}, {sep3, 1}, {sep3, 1}, {sep3, 3}, {sep3, 0}, {dil5, 4}}, nodes4},
                 {{{avg3, 0}, {sep5, 1}, {sep3, 0}, {dil5, 2}, {max3, 0}, {dil3, 1}, {dil3, 1}, {dil5, 3}}, nodes4},
                 "PDARTS"});

  // PC-DARTS (Xu et al. 2020), from the authors' code: found on CIFAR-10 ("PC_DARTS_cifar" there) and on ImageNet.
  all.push_back({{{{sep3, 1}, {skip, 0}, {sep3, 0}, {dil3, 1}, {sep5, 0}, {sep3, 1}, {avg3, 0}, {dil3, 1}}, nodes4},
                 {{{sep5, 1}, {max3, 0}, {sep5, 1}, {sep5, 2}, {sep3, 0}, {sep3, 3}, {sep3, 1}, {sep3, 2}}, nodes4},
                 "PC_DARTS"});
  all.push_back({{{{skip, 1}, {sep3, 0}, {sep3, 0}, {skip, 1}, {sep3, 1}, {sep3, 3}, {sep3, 1}, {dil5, 4}}, nodes4},
                 {{{sep3, 0}, {skip, 1}, {dil5, 2}, {max3, 1}, {sep3, 2}, {sep3, 1}, {sep5, 0}, {sep3, 3}}, nodes4},
                 "PC_DARTS_image"});

  // GDAS (Dong and Yang 2019), from the authors' code.
  all.push_back({{{{skip, 0}, {skip, 1}, {skip, 0}, {sep5, 2}, {sep3, 3}, {skip, 0}, {sep5, 4}, {sep3, 3}}, nodes4},
                 {{{sep5, 0}, {sep3, 1}, {sep5, 2}, {sep5, 1}, {dil5, 2}, {sep3, 1}, {sep5, 0}, {sep5, 2}}, nodes4},
                 "GDAS_V1"});

  // SNAS, moderate constraint (Xie et al. 2019), as the FairDARTS code lists it for comparison.
  all.push_back({{{{sep3, 0}, {sep3, 1}, {skip, 0}, {dil3, 1}, {skip, 1}, {skip, 0}, {skip, 0}, {sep3, 1}}, nodes4},
                 {{{max3, 0}, {max3, 1}, {max3, 1}, {skip, 2}, {skip, 2}, {max3, 1}, {max3, 0}, {dil5, 2}}, nodes4},
                 "SNAS"});

  // NASNet-A as listed by the DARTS code. Same edges as NASNet-A below; the output differs: only states that no
  // node reads are concatenated, so neither the older input (normal) nor state 3 (reduction) is.
  all.push_back({{{{sep5, 1},
                   {sep3, 0},
                   {sep5, 0},
                   {sep3, 0},
                   {avg3, 1},
                   {skip, 0},
                   {avg3, 0},
                   {avg3, 0},
                   {sep3, 1},
                   {skip, 1}},
                  {2, 3, 4, 5, 6}},
                 {{{sep5, 1},
                   {sep7, 0},
                   {max3, 1},
                   {sep7, 0},
                   {avg3, 1},
                   {sep5, 0},
                   {skip, 3},
                   {avg3, 2},
                   {sep3, 2},
                   {max3, 1}},
                  {4, 5, 6}},
                 "NASNet"});

  // AmoebaNet-A as listed by the DARTS code. Compared with the authors' list below the two inputs are exchanged,
  // one pooling edge reads the other input, and the output is of unread states only: "AmoebaNet-A" is ambiguous.
  all.push_back({{{{avg3, 0},
                   {max3, 1},
                   {sep3, 0},
                   {sep5, 2},
                   {sep3, 0},
                   {avg3, 3},
                   {sep3, 1},
                   {skip, 1},
                   {skip, 0},
                   {avg3, 1}},
                  {4, 5, 6}},
                 {{{avg3, 0},
                   {sep3, 1},
                   {max3, 0},
                   {sep7, 2},
                   {sep7, 0},
                   {avg3, 1},
                   {max3, 0},
                   {max3, 1},
                   {conv17, 0},
                   {sep3, 5}},
                  {3, 4, 6}},
                 "AmoebaNet"});

  // NASNet-A (Zoph et al. 2018) as in its authors' TensorFlow code. Inputs there are 0 = last cell, 1 = the cell
  // before it, the reverse of ours; the output is every state whose hard-coded `used` flag is 0, among them the
  // older input.
  all.push_back({{{{sep5, 1},
                   {sep3, 0},
                   {sep5, 0},
                   {sep3, 0},
                   {avg3, 1},
                   {skip, 0},
                   {avg3, 0},
                   {avg3, 0},
                   {sep3, 1},
                   {skip, 1}},
                  {0, 2, 3, 4, 5, 6}},
                 {{{sep5, 1},
                   {sep7, 0},
                   {max3, 1},
                   {sep7, 0},
                   {avg3, 1},
                   {sep5, 0},
                   {skip, 3},
                   {avg3, 2},
                   {sep3, 2},
                   {max3, 1}},
                  {3, 4, 5, 6}},
                 "NASNet-A"});

  // AmoebaNet-A (Real et al. 2019) as in its authors' TensorFlow code, translated in the same way. Its 1x7-7x1
  // convolution is written as conv_7x1_1x7, the nearest operation of the DARTS code.
  all.push_back({{{{avg3, 1},
                   {max3, 1},
                   {sep3, 0},
                   {skip, 0},
                   {skip, 1},
                   {avg3, 0},
                   {sep3, 1},
                   {sep5, 2},
                   {avg3, 5},
                   {sep3, 1}},
                  {0, 3, 4, 6}},
                 {{{sep3, 0},
                   {avg3, 1},
                   {max3, 1},
                   {sep7, 2},
                   {max3, 0},
                   {max3, 1},
                   {sep3, 4},
                   {conv17, 1},
                   {avg3, 0},
                   {sep7, 1}},
                  {2, 3, 4, 5, 6}},
                 "AmoebaNet-A"});
  return all;
}

/// Lower case, '-' as '_'.
std::string canonical(std::string_view name) {
  std::string result(name);
  for (char& c : result) c = c == '-' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

Genotype load_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  MIXOP_CHECK(file && !std::filesystem::is_directory(path), path, ": cannot read this genotype file");
  const std::string text{std::istreambuf_iterator<char>(file), {}};
  const std::size_t start = text.find_first_not_of(" \t\r\n");
  MIXOP_CHECK(start != std::string::npos, path, ": the genotype file is empty");
  Genotype result;
  if (text[start] == '{') {
    try {
      result = parse_genotype(text);
    } catch (const Error& error) {
      kernels::fail(path, ": ", error.what());
    }
  } else {
    result = parse_last_genotype(text, path);
  }
  if (result.name.empty()) result.name = std::filesystem::path(path).filename().string();
  return result;
}

}  // namespace

const std::vector<Genotype>& published_genotypes() {
  static const std::vector<Genotype> all = make_published();
  return all;
}

const Genotype* find_published(std::string_view name) {
  std::string key = canonical(name);
  if (key == "darts") key = "darts_v2";
  if (key == "pc_darts_cifar") key = "pc_darts";
  for (const Genotype& genotype : published_genotypes())
    if (canonical(genotype.name) == key) return &genotype;
  return nullptr;
}

Genotype load_genotype(std::string_view spec) {
  if (spec.starts_with('@')) return load_file(std::string(spec.substr(1)));
  if (const Genotype* published = find_published(spec)) return *published;
  if (spec.find_first_of("({") != std::string_view::npos) return parse_genotype(spec);
  std::string names;
  for (const Genotype& genotype : published_genotypes()) names += " " + genotype.name;
  kernels::fail("unknown genotype '", spec, "'; known:", names, "; or give Genotype(...) or @file");
}

}  // namespace mixop::nas
