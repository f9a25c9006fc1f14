# SPDX-License-Identifier: Apache-2.0
# The tests of the Python package (tests/python) under pytest. What they import beside torch is what
# `tools/setup --python` keeps; torch is LibTorch's own package. Without it they skip, with the reason.
#
#   thermoe_pytests()   every tests/python/*_test.py as one ctest test, python.<name>

function(thermoe_pytests)
  if(NOT Python3_Interpreter_FOUND)
    message(STATUS "No python3: the tests under tests/python are left out")
    return()
  endif()
  file(SHA256 "${PROJECT_SOURCE_DIR}/tools/python-packages.txt" hash)
  string(SUBSTRING "${hash}" 0 12 hash)  # the same in tools/setup
  thermoe_downloads(root)
  set(packages "${root}/python-${hash}")
  if(NOT EXISTS "${packages}/pytest")
    set(lack "skipped: ${packages} does not exist; `tools/setup --python` makes it")
  elseif(NOT TARGET thermoe_python)
    set(lack "skipped: the folders kernels and core are left out of THERMOE_FOLDERS, and with them the package")
  elseif(NOT THERMOE_TORCH)
    set(lack "skipped: THERMOE_TORCH is OFF")
  elseif(THERMOE_SANITIZE)
    set(lack "skipped: python3 is built without the sanitizer that the package's libraries need")
  endif()
  if(lack)
    message(STATUS "Tests of the Python package ${lack}")
  else()
    get_filename_component(torch "${torch_directory}" DIRECTORY)
  endif()
  file(GLOB scripts CONFIGURE_DEPENDS RELATIVE "${PROJECT_SOURCE_DIR}/tests/python"
       "${PROJECT_SOURCE_DIR}/tests/python/*_test.py")
  foreach(script IN LISTS scripts)
    get_filename_component(module "${script}" NAME_WE)
    if(lack)
      add_test(NAME "python.${module}" COMMAND "${CMAKE_COMMAND}" -E echo "${lack}")
      set_tests_properties("python.${module}" PROPERTIES LABELS python SKIP_REGULAR_EXPRESSION "^skipped: ")
      continue()
    endif()
    add_test(NAME "python.${module}"
             COMMAND "${Python3_EXECUTABLE}" -m pytest -q -rs -c "${PROJECT_SOURCE_DIR}/python/pyproject.toml"
                     "${PROJECT_SOURCE_DIR}/tests/python/${script}")
    set_tests_properties("python.${module}" PROPERTIES TIMEOUT 300 LABELS python
      ENVIRONMENT "PYTHONNOUSERSITE=1;PYTHONDONTWRITEBYTECODE=1;PYTHONPATH=${PROJECT_BINARY_DIR}/python:${packages}:${torch};THERMOE_SOURCE_DIR=${PROJECT_SOURCE_DIR};THERMOE=${PROJECT_BINARY_DIR}/src/cli/thermoe")
  endforeach()
endfunction()
