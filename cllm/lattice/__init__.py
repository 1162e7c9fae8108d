"""Geometry and number theory on arrays: kissing spheres, primes, the clock lattice."""
