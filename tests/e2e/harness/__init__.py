# SPDX-License-Identifier: ISC
"""Real servers, clients and mailproxyd itself, each in a temporary folder, for the end-to-end tests and the demo."""
