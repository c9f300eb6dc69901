"""Which anions there are, from bonds and a table of rules."""
