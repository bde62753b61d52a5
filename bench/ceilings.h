// What this machine can do at most, measured on the spot.
#pragma once

#include <string>

namespace mixop::bench {

struct Ceilings {
  double gflops = 0;    ///< float32 multiply-adds
  double gbytes = 0;    ///< large copy, read plus written bytes
  std::string means{};  ///< how a device was measured
};

/// Of the CPU with all threads: multiply-adds in registers, and memcpy. Best of several short runs, about a second
/// in all; measured once per process.
const Ceilings& measured_ceilings();

/// Of the CUDA device: a large float32 product by the fastest implementation of matmul (without TF32), and a large
/// copy by the op of that name. Best of several runs; measured once per process.
const Ceilings& device_ceilings();

}  // namespace mixop::bench
