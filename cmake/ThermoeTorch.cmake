# SPDX-License-Identifier: Apache-2.0
# thermoe::torch, an imported target of our own for the LibTorch inside a `torch` Python package.
#
# find_package(Torch) insists on a complete CUDA toolkit as soon as the package was built for CUDA;
# the CPU half needs none. Only libtorch_cpu and libc10 are linked, so one binary runs without a GPU
# and, where libtorch_cuda can be loaded at run time, with one (docs/adr/0001-libtorch-boundary.md).

set(THERMOE_TORCH_VERSION 2.11.0)      # what tools/setup installs
set(THERMOE_TORCH_MINIMUM 2.11)

# Sets `result` to the torch package directory: the user's choice, or what tools/setup installed.
function(thermoe_torch_directory result)
  if(THERMOE_TORCH_DIR)
    set(directory "${THERMOE_TORCH_DIR}")
  elseif(DEFINED ENV{THERMOE_TORCH_DIR})
    set(directory "$ENV{THERMOE_TORCH_DIR}")
  else()
    thermoe_downloads(root)
    set(directory "${root}/torch-${THERMOE_TORCH_VERSION}/torch")
  endif()
  set(${result} "${directory}" PARENT_SCOPE)
endfunction()

# Refuses a directory that is no torch package or one older than the headers we compile against.
function(thermoe_check_torch directory)
  set(remedy "Run `make setup`, or name an existing package: -DTHERMOE_TORCH_DIR=.../site-packages/torch "
             "(or the environment variable), or leave LibTorch out: -DTHERMOE_TORCH=OFF.")
  list(JOIN remedy "" remedy)
  foreach(file version.py include/torch/csrc/api/include/torch/torch.h lib/libtorch_cpu.so lib/libc10.so)
    if(NOT EXISTS "${directory}/${file}")
      message(FATAL_ERROR "No LibTorch: ${directory}/${file} does not exist. ${remedy}")
    endif()
  endforeach()
  file(STRINGS "${directory}/version.py" line REGEX "^__version__ *=" LIMIT_COUNT 1)
  if(NOT line MATCHES "'([0-9]+\\.[0-9]+(\\.[0-9]+)?)([^']*)'")
    message(FATAL_ERROR "${directory}/version.py states no version that can be read. ${remedy}")
  endif()
  if(CMAKE_MATCH_1 VERSION_LESS THERMOE_TORCH_MINIMUM)
    message(FATAL_ERROR "${directory} is torch ${CMAKE_MATCH_1}; "
                        "${THERMOE_TORCH_MINIMUM} or later is needed. ${remedy}")
  endif()
  message(STATUS "LibTorch ${CMAKE_MATCH_1}${CMAKE_MATCH_3}: ${directory}")
endfunction()

if(THERMOE_TORCH)
  thermoe_torch_directory(torch_directory)
  thermoe_check_torch("${torch_directory}")

  # The torch package carries the headers of its own, newer {fmt}, which must not shadow the one that
  # we link. LibTorch's public headers use neither, so a directory with a link to ours comes first.
  get_target_property(fmt_include fmt::fmt INTERFACE_INCLUDE_DIRECTORIES)
  list(GET fmt_include 0 fmt_include)
  file(MAKE_DIRECTORY "${PROJECT_BINARY_DIR}/include_first")
  file(CREATE_LINK "${fmt_include}/fmt" "${PROJECT_BINARY_DIR}/include_first/fmt" SYMBOLIC)

  # Transitive libraries (libgomp, and cudart and cupti in CUDA builds) are found through the RPATH
  # that libtorch_cpu itself carries.
  add_library(thermoe::c10 SHARED IMPORTED)
  set_target_properties(thermoe::c10 PROPERTIES
    IMPORTED_LOCATION "${torch_directory}/lib/libc10.so"
    INTERFACE_INCLUDE_DIRECTORIES
      "${PROJECT_BINARY_DIR}/include_first;${torch_directory}/include;${torch_directory}/include/torch/csrc/api/include")
  add_library(thermoe::torch SHARED IMPORTED)
  set_target_properties(thermoe::torch PROPERTIES
    IMPORTED_LOCATION "${torch_directory}/lib/libtorch_cpu.so"
    INTERFACE_LINK_LIBRARIES thermoe::c10)

  # <torch/torch.h> compiled once a build directory; thermoe_* targets with TORCH reuse it.
  # Reuse needs identical code generation flags, hence no per-target options, and no
  # POSITION_INDEPENDENT_CODE property (it means -fPIC for libraries but -fPIE for programs).
  file(CONFIGURE OUTPUT "${PROJECT_BINARY_DIR}/torch_pch.cpp"
       CONTENT "// Generated: an empty file that carries the precompiled <torch/torch.h>.\n")
  add_library(thermoe_torch_pch OBJECT "${PROJECT_BINARY_DIR}/torch_pch.cpp")
  target_link_libraries(thermoe_torch_pch PRIVATE thermoe::torch)
  target_precompile_headers(thermoe_torch_pch PRIVATE <torch/torch.h>)
endif()
