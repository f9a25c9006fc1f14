# SPDX-License-Identifier: Apache-2.0
# nvcc for the cuda-release preset. Without nvcc, configuring says why and what to do; THERMOE_CUDA=AUTO then does without.

if(THERMOE_CUDA STREQUAL "AUTO")  # the wheel's default
  find_program(THERMOE_NVCC nvcc HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin)
  if(THERMOE_NVCC OR CMAKE_CUDA_COMPILER OR DEFINED ENV{CUDACXX})
    set(THERMOE_CUDA ON)
  else()
    message(STATUS "No nvcc: without the CUDA backends (THERMOE_CUDA=AUTO)")
    set(THERMOE_CUDA OFF)
  endif()
endif()
if(THERMOE_CUDA)
  if(NOT CMAKE_CUDA_COMPILER AND NOT DEFINED ENV{CUDACXX})
    find_program(THERMOE_NVCC nvcc
                 HINTS "$ENV{CUDA_HOME}/bin" "$ENV{CUDA_PATH}/bin" /usr/local/cuda/bin)
    if(NOT THERMOE_NVCC)
      message(FATAL_ERROR
        "THERMOE_CUDA is ON, but there is no nvcc in PATH, $CUDA_HOME/bin or /usr/local/cuda/bin.\n"
        "Install the CUDA toolkit (12.8 or later), or name its compiler with "
        "-DCMAKE_CUDA_COMPILER=/path/to/nvcc (or $CUDACXX), or use the cpu-release preset: the same "
        "programs with CPU backends and the simulated GPU.")
    endif()
    set(CMAKE_CUDA_COMPILER "${THERMOE_NVCC}" CACHE FILEPATH "CUDA compiler")
  endif()
  if(NOT CMAKE_CUDA_ARCHITECTURES)
    set(CMAKE_CUDA_ARCHITECTURES "80-real;90a-real;90-virtual" CACHE STRING "CUDA architectures")
  endif()
  enable_language(CUDA)
  if(CMAKE_CUDA_COMPILER_VERSION VERSION_LESS 12.8)
    message(FATAL_ERROR "${CMAKE_CUDA_COMPILER} is nvcc ${CMAKE_CUDA_COMPILER_VERSION}; 12.8 or later "
                        "is needed. Name another with -DCMAKE_CUDA_COMPILER=/path/to/nvcc.")
  endif()
  # CMake 3.25 does not know that nvcc speaks C++20.
  set(CMAKE_CUDA20_STANDARD_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA20_EXTENSION_COMPILE_OPTION "-std=c++20")
  set(CMAKE_CUDA_STANDARD 20)
  set(CMAKE_CUDA_STANDARD_REQUIRED ON)
  # As ThermoeFlags.cmake does for C++.
  set(CMAKE_CUDA_FLAGS_RELWITHDEBINFO "-O2 -DNDEBUG")
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-Xcompiler=-Wall,-Wextra>")
  # fmt 9 switches constexpr off for nvcc, but not what relies on it.
  add_compile_options("$<$<COMPILE_LANGUAGE:CUDA>:-DFMT_USE_CONSTEXPR=1>")
  find_package(CUDAToolkit REQUIRED)
endif()
