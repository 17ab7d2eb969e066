"""The text of a graph in the browser: point at a token, and see where every head looks from there."""
