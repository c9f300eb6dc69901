"""Static physics of a potential against first principles and experiment."""
