# SPDX-License-Identifier: Apache-2.0
# Triton, a compiler of kernels written in Python, for the backend `triton` and its tests. In order of
# precedence: -DTHERMOE_TRITON_DIR, the environment variable THERMOE_TRITON_DIR, and what
# `tools/setup --triton` installed. Without it the backend and the tests are left out.

set(THERMOE_TRITON_VERSION 3.6.0)  # the same in tools/setup
set(THERMOE_TRITON_DIR "" CACHE PATH "An existing folder with the Python packages triton 3.6 and numpy")

# Sets `result` to the folder for PYTHONPATH, or to nothing, after saying why.
function(thermoe_triton result)
  if(THERMOE_TRITON_DIR)
    set(folder "${THERMOE_TRITON_DIR}")
  elseif(DEFINED ENV{THERMOE_TRITON_DIR})
    set(folder "$ENV{THERMOE_TRITON_DIR}")
  else()
    thermoe_downloads(root)
    set(folder "${root}/triton-${THERMOE_TRITON_VERSION}")
  endif()
  set(${result} "" PARENT_SCOPE)
  if(NOT Python3_Interpreter_FOUND)
    set(problem "there is no python3")
  elseif(NOT EXISTS "${folder}/triton/__init__.py")
    set(problem "${folder}/triton does not exist")
  else()
    file(STRINGS "${folder}/triton/__init__.py" line REGEX "^__version__ *=" LIMIT_COUNT 1)
    if(line MATCHES "'3\\.6\\.")
      message(STATUS "Triton: ${folder}")
      set(${result} "${folder}" PARENT_SCOPE)
      return()
    endif()
    set(problem "${folder} holds another version (${line})")
  endif()
  message(STATUS "No Triton ${THERMOE_TRITON_VERSION}: ${problem}. The backend `triton` and its tests are left out; "
                 "`tools/setup --triton` installs it, -DTHERMOE_TRITON_DIR (or the environment variable) names one.")
endfunction()
thermoe_triton(THERMOE_TRITON)
