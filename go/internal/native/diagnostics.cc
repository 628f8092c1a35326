// SPDX-License-Identifier: BSL-1.0
//go:build cgo

#include "../../../src/diagnostics.cpp"
