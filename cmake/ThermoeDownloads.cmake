# SPDX-License-Identifier: Apache-2.0
# Sets `result` to the folder in which tools/setup keeps what it downloads (tools/setup says the same).

function(thermoe_downloads result)
  if(DEFINED ENV{THERMOE_DEPS})
    set(folder "$ENV{THERMOE_DEPS}")
  elseif(DEFINED ENV{XDG_CACHE_HOME})
    set(folder "$ENV{XDG_CACHE_HOME}/thermoe")
  else()
    set(folder "$ENV{HOME}/.cache/thermoe")
  endif()
  set(${result} "${folder}" PARENT_SCOPE)
endfunction()
