# SPDX-License-Identifier: Apache-2.0
# `cmake --install build --component engine`: libthermoe.so, thermoe.h, and what find_package(thermoe)
# looks for.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

install(TARGETS thermoe_shared EXPORT thermoe
        LIBRARY DESTINATION "${CMAKE_INSTALL_LIBDIR}" COMPONENT engine)
install(FILES thermoe.h DESTINATION "${CMAKE_INSTALL_INCLUDEDIR}" COMPONENT engine)

set(package "${CMAKE_INSTALL_LIBDIR}/cmake/thermoe")
install(EXPORT thermoe NAMESPACE thermoe:: FILE thermoe-config.cmake DESTINATION "${package}"
        COMPONENT engine)
write_basic_package_version_file("${CMAKE_CURRENT_BINARY_DIR}/thermoe-config-version.cmake"
                                 COMPATIBILITY SameMinorVersion)
install(FILES "${CMAKE_CURRENT_BINARY_DIR}/thermoe-config-version.cmake" DESTINATION "${package}"
        COMPONENT engine)
