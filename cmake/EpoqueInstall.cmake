# SPDX-License-Identifier: BSL-1.0
#
# What `cmake --install` puts where: headers, both libraries, find_package(epoque) and pkg-config files.

include(CMakePackageConfigHelpers)
include(GNUInstallDirs)

install(DIRECTORY include/epoque DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.hpp")
install(FILES ffi/epoque.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DATADIR}/licenses/epoque)
install(TARGETS epoque epoque_c EXPORT epoqueTargets
    ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
    LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})

set(epoque_config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/epoque)
install(EXPORT epoqueTargets NAMESPACE epoque:: DESTINATION ${epoque_config_folder})
configure_package_config_file(cmake/epoqueConfig.cmake.in ${PROJECT_BINARY_DIR}/epoqueConfig.cmake
    INSTALL_DESTINATION ${epoque_config_folder})
# 0.x: a new minor version may break the interface.
write_basic_package_version_file(${PROJECT_BINARY_DIR}/epoqueConfigVersion.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_BINARY_DIR}/epoqueConfig.cmake ${PROJECT_BINARY_DIR}/epoqueConfigVersion.cmake
    DESTINATION ${epoque_config_folder})

# Relative to where the .pc files lie, so that an installed tree can be moved.
file(RELATIVE_PATH epoque_pc_prefix /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
foreach(pc epoque epoque-c)
    configure_file(cmake/${pc}.pc.in ${PROJECT_BINARY_DIR}/${pc}.pc @ONLY)
    install(FILES ${PROJECT_BINARY_DIR}/${pc}.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endforeach()
