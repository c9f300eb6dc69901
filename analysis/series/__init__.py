"""From single runs to a material: independent samples, Arrhenius lines, committee, conclusions."""
