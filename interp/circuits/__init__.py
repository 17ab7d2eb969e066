"""The circuit story of one node, every claim with the effect that backs it."""
