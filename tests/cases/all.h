// The cases of every op.
#pragma once

#include "tests/cases/augment.h"
#include "tests/cases/batch_norm.h"
#include "tests/cases/binary.h"
#include "tests/cases/concat.h"
#include "tests/cases/conv2d.h"
#include "tests/cases/copy.h"
#include "tests/cases/cross_entropy.h"
#include "tests/cases/dropout.h"
#include "tests/cases/global_pool.h"
#include "tests/cases/gumbel_softmax.h"
#include "tests/cases/matmul.h"
#include "tests/cases/mix.h"
#include "tests/cases/optim.h"
#include "tests/cases/pool.h"
#include "tests/cases/reduce.h"
#include "tests/cases/separable.h"
#include "tests/cases/shuffle.h"
#include "tests/cases/softmax.h"
#include "tests/cases/unary.h"

namespace mixop::test {

struct StemCases {
  const char* stem;  ///< as mixop_add_op names it
  std::vector<Case> (*cases)();
};
inline const StemCases kStems[] = {{"augment", augment_cases},
                                   {"batch_norm", batch_norm_cases},
                                   {"binary", binary_cases},
                                   {"concat", concat_cases},
                                   {"conv2d", conv2d_cases},
                                   {"copy", copy_cases},
                                   {"cross_entropy", cross_entropy_cases},
                                   {"dropout", dropout_cases},
                                   {"global_pool", global_pool_cases},
                                   {"gumbel_softmax", gumbel_softmax_cases},
                                   {"matmul", matmul_cases},
                                   {"mix", mix_cases},
                                   {"optim", optim_cases},
                                   {"pool", pool_cases},
                                   {"reduce", reduce_cases},
                                   {"separable", separable_cases},
                                   {"shuffle", shuffle_cases},
                                   {"softmax", softmax_cases},
                                   {"unary", unary_cases}};

inline std::vector<Case> all_cases() {
  std::vector<Case> all;
  for (const StemCases& s : kStems)
    for (Case& c : s.cases()) all.push_back(std::move(c));
  return all;
}

}  // namespace mixop::test
