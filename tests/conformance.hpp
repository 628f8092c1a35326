// SPDX-License-Identifier: BSL-1.0
/// @file
/// The contract of a concurrent container as tests: what a `concurrent_queue` or `concurrent_stack` promises to whoever
/// uses it, whatever its algorithm is. conformance_test.cpp runs them over every structure and every kind of element.
///
/// A structure that can't be made from a domain alone (one with a capacity) specialises `make_container`; one that is not made
/// for any number of threads, `made_for` (conformance/containers.hpp). A clause that says nothing about a structure is
/// skipped, with the reason.
#pragma once

#include "conformance/bulk.hpp"
#include "conformance/lifetime.hpp"
#include "conformance/memory.hpp"
#include "conformance/races.hpp"
#include "conformance/sequential.hpp"
