"""Dynamics of a potential: against AIMD, stability, conservation of energy."""
