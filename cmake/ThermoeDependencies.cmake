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
if("metrics" IN_LIST THERMOE_FOLDERS)
  # It has no CMake package of its own.
  find_path(MICROHTTPD_INCLUDE_DIR microhttpd.h)
  find_library(MICROHTTPD_LIBRARY microhttpd)
  mark_as_advanced(MICROHTTPD_INCLUDE_DIR MICROHTTPD_LIBRARY)
  if(MICROHTTPD_INCLUDE_DIR AND MICROHTTPD_LIBRARY)
    add_library(microhttpd::microhttpd UNKNOWN IMPORTED)
    set_target_properties(microhttpd::microhttpd PROPERTIES
      IMPORTED_LOCATION "${MICROHTTPD_LIBRARY}" INTERFACE_INCLUDE_DIRECTORIES "${MICROHTTPD_INCLUDE_DIR}")
  else()
    list(APPEND missing libmicrohttpd)
  endif()
endif()
if(missing)
  list(JOIN missing ", " missing)
  message(FATAL_ERROR "Libraries not found: ${missing}. `make setup` installs them.")
endif()

find_package(Threads REQUIRED)
find_package(Python3 QUIET COMPONENTS Interpreter)
include(GoogleTest)
