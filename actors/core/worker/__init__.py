"""Transfer of a lease, as its worker decides it."""
