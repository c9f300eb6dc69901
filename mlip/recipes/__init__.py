"""Recipe models of all verbs, and how a recipe is read."""
