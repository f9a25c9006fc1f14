# SPDX-License-Identifier: Apache-2.0
# Finds plotly.min.js, the plot library that reports carry (docs/adr/0007-plot-library.md), which
# tools/setup downloads. In order of precedence: -DTHERMOE_PLOTLY_JS, the environment variable
# THERMOE_PLOTLY_JS, and tools/setup's copy under THERMOE_DEPS.

set(THERMOE_PLOTLY_VERSION 7.1.0)  # of the Python package; the same in tools/setup
set(THERMOE_PLOTLY_JS "" CACHE FILEPATH "An existing plotly.min.js, instead of tools/setup's")

# Sets `result` to the path; refuses a file that is missing or is not plotly.js.
function(thermoe_plotly_js result)
  if(THERMOE_PLOTLY_JS)
    set(file "${THERMOE_PLOTLY_JS}")
  elseif(DEFINED ENV{THERMOE_PLOTLY_JS})
    set(file "$ENV{THERMOE_PLOTLY_JS}")
  else()
    thermoe_downloads(root)
    set(file "${root}/plotly-${THERMOE_PLOTLY_VERSION}/plotly.min.js")
  endif()
  set(remedy "Run `make setup` (tools/setup), or name a copy: -DTHERMOE_PLOTLY_JS=/path/to/plotly.min.js "
             "(or the environment variable).")
  list(JOIN remedy "" remedy)
  if(NOT EXISTS "${file}")
    message(FATAL_ERROR "No plot library for reports: ${file} does not exist. ${remedy}")
  endif()
  # The banner holds the version and the licence, and is kept in every report.
  file(READ "${file}" banner LIMIT 200)
  if(NOT banner MATCHES "MIT license" OR NOT banner MATCHES "plotly\\.js v([0-9.]+)")
    message(FATAL_ERROR "${file} is not plotly.min.js: it does not start with its banner. ${remedy}")
  endif()
  message(STATUS "Plot library: plotly.js ${CMAKE_MATCH_1}: ${file}")
  set(${result} "${file}" PARENT_SCOPE)
endfunction()
