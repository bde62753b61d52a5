// Runs the tests under emulation, then checks that every kernel named by --kernels=a;b;c has been started.
#include <gtest/gtest.h>

#include <cstdio>
#include <set>
#include <sstream>
#include <string>

#include "tests/support/cuda_emulation.h"

int main(int argc, char** argv) {
  testing::InitGoogleTest(&argc, argv);
  int failed = RUN_ALL_TESTS();
  const std::string flag = "--kernels=";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    if (argument.rfind(flag, 0) != 0) continue;
    std::istringstream names(argument.substr(flag.size()));
    const std::set<std::string> launched = mixop::emulation::launched();
    int wanted = 0;
    for (std::string name; std::getline(names, name, ';'); ++wanted)
      if (!launched.count(name)) {
        std::printf("kernel '%s' has no emulated test: no case of its stem starts it\n", name.c_str());
        failed = 1;
      }
    std::printf("%d kernels wanted, %zu started\n", wanted, launched.size());
    if (wanted == 0) failed = 1;
  }
  return failed;
}
