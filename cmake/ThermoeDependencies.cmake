# SPDX-License-Identifier: Apache-2.0
# Libraries that come as distribution packages (Debian 12, Ubuntu 24.04); tools/setup installs them.

set(packages fmt spdlog nlohmann_json CLI11 SQLite3 ZLIB GTest)
if(THERMOE_BENCHMARKS)
  list(APPEND packages benchmark)
endif()

foreach(package IN LISTS packages)
  find_package(${package} QUIET)
  if(NOT ${package}_FOUND)
    list(APPEND missing ${package})
  endif()
endforeach()
if(missing)
  list(JOIN missing ", " missing)
  message(FATAL_ERROR "CMake packages not found: ${missing}. `make setup` installs them.")
endif()

find_package(Threads REQUIRED)
find_package(Python3 QUIET COMPONENTS Interpreter)
include(GoogleTest)
