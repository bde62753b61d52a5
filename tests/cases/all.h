// The cases of every op.
#pragma once

#include "tests/cases/batch_norm.h"
#include "tests/cases/binary.h"
#include "tests/cases/concat.h"
#include "tests/cases/conv2d.h"
#include "tests/cases/copy.h"
#include "tests/cases/cross_entropy.h"
#include "tests/cases/dropout.h"
#include "tests/cases/global_pool.h"
#include "tests/cases/matmul.h"
#include "tests/cases/mix.h"
#include "tests/cases/optim.h"
#include "tests/cases/pool.h"
#include "tests/cases/reduce.h"
#include "tests/cases/shuffle.h"
#include "tests/cases/softmax.h"
#include "tests/cases/unary.h"

namespace mixop::test {

inline std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (auto* cases : {batch_norm_cases, binary_cases, concat_cases, conv2d_cases, copy_cases, cross_entropy_cases,
                      dropout_cases, global_pool_cases, matmul_cases, mix_cases, optim_cases, pool_cases,
                      reduce_cases, shuffle_cases, softmax_cases, unary_cases})
    for (Case& c : cases()) all.push_back(std::move(c));
  return all;
}

}  // namespace mixop::test
