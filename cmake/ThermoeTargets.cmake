# SPDX-License-Identifier: Apache-2.0
# The functions that src/*/CMakeLists.txt, tests/*/CMakeLists.txt and bench/*/CMakeLists.txt use.
#
#   thermoe_library(<name> [SOURCES a.cpp ...] [DEPS core cost fmt::fmt ...] [TORCH])
#   thermoe_executable(<name> SOURCES a.cpp ... [DEPS ...] [TORCH])
#   thermoe_test(<name> SOURCES a_test.cpp ... [DEPS ...] [TORCH] [LABELS slow ...])
#   thermoe_bench(<name> SOURCES a_bench.cpp ... [DEPS ...] [TORCH])    built by target `benchmarks`
#
# <name> `core` makes the target thermoe_core, and the dependency `core` means it; a dependency with
# `::` is an imported target. TORCH links LibTorch and gives the target the precompiled
# <torch/torch.h>; with THERMOE_TORCH=OFF such targets are left out. A folder with both kinds of
# source makes two libraries, so that its torch-free half builds and tests alone.

function(thermoe_link target scope)
  foreach(dependency IN LISTS ARGN)
    if(dependency MATCHES "::")
      target_link_libraries(${target} ${scope} ${dependency})
    else()
      target_link_libraries(${target} ${scope} thermoe_${dependency})
    endif()
  endforeach()
endfunction()

function(thermoe_use_torch target)
  target_link_libraries(${target} PUBLIC thermoe::torch)
  target_precompile_headers(${target} REUSE_FROM thermoe_torch_pch)
endfunction()

function(thermoe_library name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "SOURCES;DEPS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "thermoe_library(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(arg_TORCH AND NOT THERMOE_TORCH)
    return()
  endif()
  set(target thermoe_${name})
  if(arg_SOURCES)
    add_library(${target} STATIC ${arg_SOURCES})
    target_include_directories(${target} PUBLIC "${PROJECT_SOURCE_DIR}/src")
    thermoe_link(${target} PUBLIC ${arg_DEPS})
    if(arg_TORCH)
      thermoe_use_torch(${target})
    else()
      # The C ABI and the Python package carry them in shared libraries.
      set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON)
    endif()
  else()
    add_library(${target} INTERFACE)
    target_include_directories(${target} INTERFACE "${PROJECT_SOURCE_DIR}/src")
    thermoe_link(${target} INTERFACE ${arg_DEPS})
    if(arg_TORCH)
      target_link_libraries(${target} INTERFACE thermoe::torch)
    endif()
  endif()
endfunction()

function(thermoe_executable name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "SOURCES;DEPS")
  if(arg_UNPARSED_ARGUMENTS)
    message(FATAL_ERROR "thermoe_executable(${name}): unknown arguments ${arg_UNPARSED_ARGUMENTS}")
  endif()
  if(arg_TORCH AND NOT THERMOE_TORCH)
    return()
  endif()
  add_executable(${name} ${arg_SOURCES})
  target_include_directories(${name} PRIVATE "${PROJECT_SOURCE_DIR}/src")
  thermoe_link(${name} PRIVATE ${arg_DEPS})
  if(arg_TORCH)
    target_link_libraries(${name} PRIVATE thermoe::torch)
    target_precompile_headers(${name} REUSE_FROM thermoe_torch_pch)
  endif()
endfunction()

# What nearly every test includes, compiled once. Tests themselves are compiled at -O1: they run for
# milliseconds, and compiling them is most of `make test`.
function(thermoe_use_test_pch target)
  if(NOT TARGET thermoe_test_pch)
    file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/test_pch.cpp"
         CONTENT "// Generated: an empty file that carries the tests' precompiled headers.\n")
    add_library(thermoe_test_pch OBJECT "${PROJECT_BINARY_DIR}/test_pch.cpp")
    target_link_libraries(thermoe_test_pch PRIVATE GTest::gtest GTest::gmock fmt::fmt
                                                   nlohmann_json::nlohmann_json)
    target_precompile_headers(thermoe_test_pch PRIVATE <gmock/gmock.h> <gtest/gtest.h>
                              <fmt/format.h> <fmt/ranges.h> <nlohmann/json.hpp>)
    target_compile_options(thermoe_test_pch PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
  endif()
  target_precompile_headers(${target} REUSE_FROM thermoe_test_pch)
  target_compile_options(${target} PRIVATE $<$<CONFIG:RelWithDebInfo>:-O1>)
endfunction()

function(thermoe_test name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "SOURCES;DEPS;LABELS")
  if(arg_TORCH)
    if(NOT THERMOE_TORCH)
      return()
    endif()
    set(torch TORCH)
  endif()
  thermoe_executable(${name} SOURCES ${arg_SOURCES} ${torch}
                     DEPS ${arg_DEPS} GTest::gtest GTest::gmock GTest::gtest_main)
  if(NOT arg_TORCH)
    thermoe_use_test_pch(${name})
  endif()
  # Tests find the repository's data here and nowhere else; the working directory is theirs.
  target_compile_definitions(${name} PRIVATE THERMOE_SOURCE_DIR="${PROJECT_SOURCE_DIR}")
  set(properties TIMEOUT 300)
  if(arg_LABELS)
    list(APPEND properties LABELS ${arg_LABELS})
  endif()
  if("gpu" IN_LIST arg_LABELS)
    # How gtest says that a whole program was skipped (tests/kernels/needs_cuda_device.cpp).
    list(APPEND properties SKIP_REGULAR_EXPRESSION "[.]cpp:[0-9]+: Skipped")
  endif()
  if(THERMOE_SANITIZE)
    # One process a program: under a sanitizer, loading LibTorch takes seconds.
    add_test(NAME ${name} COMMAND ${name})
    set_tests_properties(${name} PROPERTIES ${properties} TIMEOUT 900)
  else()
    # PRE_TEST: the program is asked for its tests by ctest, not by the build.
    gtest_discover_tests(${name} DISCOVERY_MODE PRE_TEST DISCOVERY_TIMEOUT 60
                         PROPERTIES ${properties})
  endif()
endfunction()

function(thermoe_bench name)
  cmake_parse_arguments(PARSE_ARGV 1 arg "TORCH" "" "SOURCES;DEPS")
  if(arg_TORCH)
    set(torch TORCH)
  endif()
  if(arg_TORCH AND NOT THERMOE_TORCH)
    return()
  endif()
  thermoe_executable(${name} SOURCES ${arg_SOURCES} ${torch}
                     DEPS ${arg_DEPS} benchmark::benchmark benchmark::benchmark_main)
  set_target_properties(${name} PROPERTIES EXCLUDE_FROM_ALL ON)
  if(NOT TARGET benchmarks)
    add_custom_target(benchmarks)
  endif()
  add_dependencies(benchmarks ${name})
endfunction()

# Every tests/tools/*_test.py as one ctest test, run by Python's own unittest. THERMOE tells them the
# program of this build, which is not there without LibTorch; THERMOE_TRITON where Triton is, if there is
# one; THERMOE_CPU_REFERENCE the CPU's ops.
function(thermoe_python_tests)
  if(NOT Python3_Interpreter_FOUND)
    message(STATUS "No python3: the tests under tests/tools are left out")
    return()
  endif()
  file(GLOB scripts CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/tests/tools"
       "${PROJECT_SOURCE_DIR}/tests/tools/*_test.py")
  set(triton "THERMOE_TRITON=${THERMOE_TRITON}"
             "THERMOE_CPU_REFERENCE=${PROJECT_BINARY_DIR}/tests/kernels/kernels_cpu_reference")
  foreach(script IN LISTS scripts)
    get_filename_component(module "${script}" NAME_WE)
    add_test(NAME "tools.${module}"
             COMMAND "${Python3_EXECUTABLE}" -m unittest -v ${module}
             WORKING_DIRECTORY "${PROJECT_SOURCE_DIR}/tests/tools")
    set_tests_properties("tools.${module}" PROPERTIES TIMEOUT 300 LABELS tools
                         ENVIRONMENT
                         "PYTHONDONTWRITEBYTECODE=1;THERMOE=${PROJECT_BINARY_DIR}/src/cli/thermoe;${triton}")
  endforeach()
endfunction()
