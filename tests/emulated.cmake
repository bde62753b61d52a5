# The CUDA kernels in tests: the same sources and cases on a device (cuda.<stem>, skipped where there is none) and on the
# CPU under emulation (emulated.<stem>), which needs nothing of CUDA.
find_package(Boost 1.71 REQUIRED COMPONENTS context)

# <cuda_runtime.h> is the emulator's, also where a real one is installed; CUDA threads are fibers of Boost.Context.
function(mixop_use_emulation target)
  target_include_directories(${target} BEFORE PRIVATE ${CMAKE_CURRENT_FUNCTION_LIST_DIR}/support/emulated)
  target_link_libraries(${target} PRIVATE Boost::context)
  # Loops to be unrolled for a GPU are left alone by GCC and attempted by clang.
  target_compile_options(${target} PRIVATE -Wno-unknown-pragmas $<$<CXX_COMPILER_ID:Clang>:-Wno-pass-failed>)
endfunction()

# Our kernels and the device layer, compiled by the host compiler. Objects, not an archive: they come before
# mixop_backend, whose definitions are then not looked for.
file(GLOB emulated_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/ops/*_cuda.cu)
list(APPEND emulated_sources ${PROJECT_SOURCE_DIR}/kernels/core/device_cuda.cu)
set_source_files_properties(${emulated_sources} PROPERTIES LANGUAGE CXX)
file(GLOB library_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/ops/*_cublas.cpp
  ${PROJECT_SOURCE_DIR}/kernels/ops/*_cudnn.cpp)
add_library(mixop_emulated OBJECT ${emulated_sources} ${library_sources} support/emulated/profiler.cpp
  ${PROJECT_SOURCE_DIR}/kernels/core/no_cublas.cpp ${PROJECT_SOURCE_DIR}/kernels/core/no_cudnn.cpp)
target_include_directories(mixop_emulated PRIVATE ${PROJECT_SOURCE_DIR})
mixop_use_emulation(mixop_emulated)

function(mixop_add_emulated_executable name)
  mixop_add_test_executable(${name} ${ARGN} $<TARGET_OBJECTS:mixop_emulated>)
  mixop_use_emulation(${name})
endfunction()

# The names of all kernels in some sources, as they follow __global__ void.
function(mixop_kernels_of result)
  set(names "")
  foreach(source ${ARGN})
    file(READ ${source} text)
    string(REGEX MATCHALL "__global__ void[ \n]+(__launch_bounds__\\([^)]*\\)[ \n]+)?[A-Za-z0-9_]+" heads "${text}")
    foreach(head ${heads})
      string(REGEX REPLACE ".*[ \n]" "" kernel "${head}")
      list(APPEND names ${kernel})
    endforeach()
    set_property(DIRECTORY APPEND PROPERTY CMAKE_CONFIGURE_DEPENDS ${source})
  endforeach()
  list(REMOVE_DUPLICATES names)
  set(${result} "${names}" PARENT_SCOPE)
endfunction()

mixop_add_test_executable(emulation_test emulation_test.cpp cuda/emulated_runtime_test.cpp)
mixop_use_emulation(emulation_test)
add_test(NAME emulation_test COMMAND emulation_test)
mixop_add_test_executable(cuda_test cuda_test.cpp cuda_effects.cpp)
mixop_add_emulated_executable(emulated_test cuda_test.cpp cuda_effects.cpp support/emulated/main.cpp)

# The golden cases, whole runs and their resumption on the emulated device, with the command itself.
add_executable(mixop_emulated_command ${PROJECT_SOURCE_DIR}/nas/cli/main.cpp support/emulated/environment.cpp $<TARGET_OBJECTS:mixop_emulated>)
target_link_libraries(mixop_emulated_command PRIVATE mixop_cli)
mixop_use_emulation(mixop_emulated_command)
set_target_properties(mixop_emulated_command PROPERTIES OUTPUT_NAME mixop
  RUNTIME_OUTPUT_DIRECTORY ${CMAKE_CURRENT_BINARY_DIR}/emulated)
mixop_add_emulated_executable(emulated_choices_test choices_test.cpp)
add_test(NAME emulated.choices COMMAND emulated_choices_test --gtest_filter=*Device*)
mixop_add_emulated_executable(emulated_golden_test golden_test.cpp)
add_test(NAME emulated.golden COMMAND emulated_golden_test --gtest_filter=*cuda*)
mixop_add_test_executable(cuda_run_test cuda_run_test.cpp)
add_dependencies(cuda_run_test mixop_emulated_command)
add_test(NAME cuda.run COMMAND cuda_run_test)
add_test(NAME emulated.run COMMAND cuda_run_test)
set_tests_properties(emulated.run PROPERTIES ENVIRONMENT MIXOP_COMMAND=$<TARGET_FILE:mixop_emulated_command>)
set_tests_properties(emulated.golden emulated.run cuda.run PROPERTIES TIMEOUT 1800)
set_tests_properties(emulated.run PROPERTIES LABELS slow)  # under sanitizers the cases of the ops are enough

set(kernels_seen "")
foreach(stem ${MIXOP_STEMS})
  file(GLOB sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/ops/${stem}_*.cu ${PROJECT_SOURCE_DIR}/kernels/ops/${stem}_*.cuh)
  foreach(source ${sources})  # and those of shared headers that it starts
    file(STRINGS ${source} includes REGEX "^#include \"kernels/core/cuda/[a-z_]+\\.cuh\"")
    list(TRANSFORM includes REPLACE "^#include \"([^\"]+)\".*" "${PROJECT_SOURCE_DIR}/\\1")
    list(APPEND sources ${includes})
  endforeach()
  list(REMOVE_DUPLICATES sources)
  mixop_kernels_of(kernels ${sources})
  if(NOT kernels)
    message(FATAL_ERROR "op '${stem}' has no CUDA kernel")
  endif()
  list(APPEND kernels_seen ${kernels})
  add_test(NAME emulated.${stem} COMMAND emulated_test --gtest_filter=${stem}/* "--kernels=${kernels}")
  add_test(NAME cuda.${stem} COMMAND cuda_test --gtest_filter=${stem}/*)
  set_tests_properties(emulated.${stem} cuda.${stem} PROPERTIES TIMEOUT 1800)
endforeach()
# A kernel outside the files of a stem would escape the check above.
file(GLOB_RECURSE all_sources CONFIGURE_DEPENDS ${PROJECT_SOURCE_DIR}/kernels/*.cu ${PROJECT_SOURCE_DIR}/kernels/*.cuh)
mixop_kernels_of(all_kernels ${all_sources})
list(REMOVE_ITEM all_kernels ${kernels_seen} probe)
if(all_kernels)
  message(FATAL_ERROR "CUDA kernels without an emulated test: ${all_kernels}")
endif()

# The calls to cuBLAS and cuDNN, with fake libraries that work on host memory in their place: needs their headers only.
if(MIXOP_HAVE_CUDA AND MIXOP_CUBLAS_INCLUDE AND MIXOP_CUDNN_INCLUDE)
  set(fakes ${CMAKE_CURRENT_BINARY_DIR}/fake_libraries)
  foreach(library cublas cudnn)
    add_library(fake_${library} MODULE cuda/fake_${library}.cpp)
    target_include_directories(fake_${library} SYSTEM PRIVATE ${MIXOP_CUBLAS_INCLUDE} ${MIXOP_CUDNN_INCLUDE})
    target_include_directories(fake_${library} PRIVATE ${PROJECT_SOURCE_DIR})
    set_target_properties(fake_${library} PROPERTIES PREFIX "" OUTPUT_NAME lib${library}.so LIBRARY_OUTPUT_DIRECTORY ${fakes})
  endforeach()
  set_target_properties(fake_cublas PROPERTIES SUFFIX .13)
  set_target_properties(fake_cudnn PROPERTIES SUFFIX .9)
  mixop_add_test_executable(libraries_test cuda/libraries_test.cpp)
  target_compile_definitions(libraries_test PRIVATE MIXOP_FAKE_LIBRARIES="${fakes}")
  add_dependencies(libraries_test fake_cublas fake_cudnn)
  add_test(NAME cuda_libraries COMMAND libraries_test)
endif()

find_package(Python3 COMPONENTS Interpreter)
if(Python3_FOUND)
  add_test(NAME gpu_suite COMMAND ${Python3_EXECUTABLE} ${PROJECT_SOURCE_DIR}/bench/gpu_suite --self-test)
endif()
