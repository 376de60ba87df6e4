// SPDX-License-Identifier: GPL-2.0-or-later
// The unit tests' main function.
#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>
