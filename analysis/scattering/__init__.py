"""Structure factors and what is measured of them."""
