"""Job descriptions and the pool that runs them."""
