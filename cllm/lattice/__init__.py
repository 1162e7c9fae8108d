"""The geometry and number theory: kissing spheres, primes, the clock lattice. Arrays in, arrays out."""
