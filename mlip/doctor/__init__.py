"""Doctor: what works on this machine, and how to repair what does not."""
