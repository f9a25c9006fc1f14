# SPDX-License-Identifier: Apache-2.0
# ccache where the machine has it. Precompiled headers need the sloppiness: gcc's .gch carries time
# stamps, and -fpch-preprocess lets the preprocessed text name the .gch that it depends on.

find_program(THERMOE_CCACHE ccache)
if(THERMOE_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER
      env CCACHE_SLOPPINESS=pch_defines,time_macros,include_file_mtime,include_file_ctime
      "${THERMOE_CCACHE}")
  set(CMAKE_CUDA_COMPILER_LAUNCHER "${THERMOE_CCACHE}")
  if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
    add_compile_options($<$<COMPILE_LANGUAGE:CXX>:-fpch-preprocess>)
  endif()
endif()
